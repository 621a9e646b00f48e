#include "cli/limits.h"

#include "core/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    KILO = 1024,
    LEAST_STACK = KILO * KILO,
    GOOD_STACK = 8 * KILO * KILO,
    LEAST_MEMORY = 256 * KILO * KILO, /* of addresses: what the libraries alone need, and some */
    MANY_PROCESSES = 4096,
};

static const char one_thread[] = "OPENBLAS_NUM_THREADS=1";

static void end(const char *what, const char *option, rlim_t now, rlim_t least)
{
    char message[256];
    int length = snprintf(message, sizeof message,
                          "harmonium: %s is limited to %llu kB, and %llu kB are needed to start; raise the limit "
                          "(ulimit %s)\n",
                          what, (unsigned long long)now / KILO, (unsigned long long)least / KILO, option);
    (void)!write(STDERR_FILENO, message, (size_t)length);
    _exit(HM_EINTERNAL);
}

static rlim_t limit(int resource)
{
    struct rlimit both;
    return getrlimit(resource, &both) == 0 ? both.rlim_cur : RLIM_INFINITY;
}

/* As far as is allowed. Has it grown? */
static bool raise_stack(void)
{
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur >= GOOD_STACK) return false;
    rlim_t before = stack.rlim_cur;
    stack.rlim_cur = stack.rlim_max < GOOD_STACK ? stack.rlim_max : GOOD_STACK;
    return stack.rlim_cur > before && setrlimit(RLIMIT_STACK, &stack) == 0;
}

/* Can OpenBLAS fail to make its threads, and has nobody told it to make none? */
static bool threads_may_fail(char **environment)
{
    const size_t name = sizeof "OPENBLAS_NUM_THREADS=" - 1;
    for (char **variable = environment; *variable; variable++)
        if (strncmp(*variable, one_thread, name) == 0) return false;
    return limit(RLIMIT_AS) != RLIM_INFINITY || limit(RLIMIT_NPROC) <= MANY_PROCESSES;
}

void hm_limits_prepare(int argc, char **argv, char **environment)
{
    (void)argc;
    bool again = raise_stack(), alone = threads_may_fail(environment);
    if (limit(RLIMIT_STACK) < LEAST_STACK) end("the stack", "-s", limit(RLIMIT_STACK), LEAST_STACK);
    if (limit(RLIMIT_AS) < LEAST_MEMORY) end("virtual memory", "-v", limit(RLIMIT_AS), LEAST_MEMORY);
    if (!again && !alone) return;
    size_t count = 0;
    while (environment[count]) count++;
    char **longer = malloc((count + 2) * sizeof *longer);
    if (!longer) return;
    memcpy(longer, environment, count * sizeof *longer);
    if (alone) longer[count++] = (char *)one_thread;
    longer[count] = NULL;
    execve("/proc/self/exe", argv, longer); /* where that fails, the program goes on as it is */
    free(longer);
}
