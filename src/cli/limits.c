#include "cli/limits.h"

#include "core/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    KILO = 1024,
    LEAST_STACK = 2 * KILO * KILO, /* products keep packed tiles there, up to 1.1 MB of them */
    GOOD_STACK = 8 * KILO * KILO,
    LEAST_MEMORY = 256 * KILO * KILO, /* of addresses: what the libraries alone need, and some */
    MANY_PROCESSES = 4096,
    SETTINGS = 3,
};

/* What libraries read when they are loaded: OpenBLAS makes no threads; one arena takes memory for all threads, where
 * each would take 64 MB of addresses; threads have room for a product, whatever was asked for. */
static const char one_thread[] = "OPENBLAS_NUM_THREADS=1";
static const char one_arena[] = "MALLOC_ARENA_MAX=1";
static const char thread_stack[] = "OMP_STACKSIZE=8M";

/* Is this rank 0, or no rank? Its launcher says so before MPI does. */
static bool is_first(char **environment)
{
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK=", "PMIX_RANK=", "PMI_RANK="};
    for (; *environment; environment++)
        for (size_t at = 0; at < sizeof ranks / sizeof ranks[0]; at++)
            if (strncmp(*environment, ranks[at], strlen(ranks[at])) == 0)
                return strcmp(*environment + strlen(ranks[at]), "0") == 0;
    return true;
}

static void end(bool speaks, const char *what, const char *option, rlim_t now, rlim_t least)
{
    char message[256];
    int length = snprintf(message, sizeof message,
                          "harmonium: %s is limited to %llu kB, and %llu kB are needed to start; raise the limit "
                          "(ulimit %s)\n",
                          what, (unsigned long long)now / KILO, (unsigned long long)least / KILO, option);
    if (speaks) (void)!write(STDERR_FILENO, message, (size_t)length);
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

/* Does the environment not say so? */
static bool lacks(char **environment, const char *setting)
{
    for (; *environment; environment++)
        if (strcmp(*environment, setting) == 0) return false;
    return true;
}

static bool names_it(const char *variable, const char *setting)
{
    return strncmp(variable, setting, strcspn(setting, "=") + 1) == 0;
}

static bool mentions(char **environment, const char *setting)
{
    for (; *environment; environment++)
        if (names_it(*environment, setting)) return true;
    return false;
}

/* What the environment should say and does not; returns how much. */
static int find_missing(char **environment, const char *missing[SETTINGS])
{
    bool memory = limit(RLIMIT_AS) != RLIM_INFINITY, few = limit(RLIMIT_NPROC) <= MANY_PROCESSES;
    int count = 0;
    if ((memory || few) && lacks(environment, one_thread)) missing[count++] = one_thread;
    if (memory && lacks(environment, one_arena)) missing[count++] = one_arena;
    if (mentions(environment, thread_stack) && lacks(environment, thread_stack)) missing[count++] = thread_stack;
    return count;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The program anew, with these settings in the place of others of their names. Returns when that fails: the program
 * goes on as it is. */
static void start_again(char **argv, char **environment, int count, const char *const settings[])
{
    /* As it was called: /proc/self/exe would change the name that `ps` shows. */
    const char *program = (const char *)getauxval(AT_EXECFN);
    if (!program || !argv[0] || strcmp(last_part(program), last_part(argv[0])) != 0) return; /* called by a loader */
    size_t all = 0, kept = 0;
    while (environment[all]) all++;
    const char **changed = malloc((all + (size_t)count + 1) * sizeof *changed);
    if (!changed) return;
    for (size_t at = 0; at < all; at++) {
        bool replaced = false;
        for (int setting = 0; setting < count; setting++) replaced |= names_it(environment[at], settings[setting]);
        if (!replaced) changed[kept++] = environment[at];
    }
    for (int setting = 0; setting < count; setting++) changed[kept++] = settings[setting];
    changed[kept] = NULL;
    execve(program, argv, (char **)changed);
    free(changed);
}

void hm_limits_prepare(int argc, char **argv, char **environment)
{
    const char *missing[SETTINGS];
    bool again = raise_stack(), speaks = is_first(environment);
    if (limit(RLIMIT_STACK) < LEAST_STACK) end(speaks, "the stack", "-s", limit(RLIMIT_STACK), LEAST_STACK);
    if (limit(RLIMIT_AS) < LEAST_MEMORY) end(speaks, "virtual memory", "-v", limit(RLIMIT_AS), LEAST_MEMORY);
    int count = find_missing(environment, missing);
    if (argc > 0 && (again || count > 0)) start_again(argv, environment, count, missing);
}
