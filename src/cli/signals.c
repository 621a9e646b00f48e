#include "cli/signals.h"

#include "io/files.h"

#include <signal.h>
#include <stddef.h>

static const struct {
    int number;
    const char *name;
    bool repeats; /* comes again by itself: from the shell and the kernel, or every second */
} stopping[] = {{SIGTERM, "SIGTERM", false}, {SIGINT, "SIGINT", false},   {SIGHUP, "SIGHUP", true},
                {SIGUSR1, "SIGUSR1", false}, {SIGUSR2, "SIGUSR2", false}, {SIGXCPU, "SIGXCPU", true}};
enum { STOPPING = sizeof stopping / sizeof stopping[0] };

static volatile sig_atomic_t caught;

static void end(int number)
{
    hm_temporary_remove_all();
    signal(number, SIG_DFL);
    raise(number); /* taken when this function returns */
}

static bool repeats(int number)
{
    for (int at = 0; at < STOPPING; at++)
        if (stopping[at].number == number) return stopping[at].repeats;
    return false;
}

static void remember(int number)
{
    if (!caught)
        caught = number;
    else if (!repeats(number))
        end(number);
}

void hm_signals_catch(bool stoppable)
{
    struct sigaction action = {.sa_handler = stoppable ? remember : end, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (int at = 0; at < STOPPING; at++) {
        int number = stopping[at].number;
        bool listens = stoppable && number != SIGHUP;
        if (!listens && sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        sigaction(number, &action, NULL);
    }
}

const char *hm_signals_caught(void)
{
    for (int at = 0; at < STOPPING; at++)
        if (stopping[at].number == caught) return stopping[at].name;
    return NULL;
}
