#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>

static const struct {
    int number;
    const char *name;
} stopping[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGUSR1, "SIGUSR1"}};
enum { STOPPING = sizeof stopping / sizeof stopping[0] };

static volatile sig_atomic_t caught;

static void remember(int number)
{
    if (caught) {
        signal(number, SIG_DFL);
        raise(number); /* taken when this function returns */
    }
    caught = number;
}

void hm_signals_catch(void)
{
    struct sigaction action = {.sa_handler = remember, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int at = 0; at < STOPPING; at++) sigaction(stopping[at].number, &action, NULL);
}

const char *hm_signals_caught(void)
{
    for (int at = 0; at < STOPPING; at++)
        if (stopping[at].number == caught) return stopping[at].name;
    return NULL;
}
