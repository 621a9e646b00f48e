/* Preloaded into the program: the system refuses to open a file, or to lock any, as a network file system may for a
 * while.
 *
 * REFUSE_PATH: end of the names that are refused; REFUSE_ERRNO: why; REFUSE_AFTER: opens of it that succeed before.
 * FLOCK_ERRNO: why flock fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *name)
{
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

static int refuses(const char *path)
{
    static int opens;
    const char *end = getenv("REFUSE_PATH");
    if (!end || !path || strlen(path) < strlen(end) || strcmp(path + strlen(path) - strlen(end), end) != 0) return 0;
    if (opens++ < number("REFUSE_AFTER")) return 0;
    errno = number("REFUSE_ERRNO");
    return 1;
}

typedef int open_fn(const char *path, int flags, ...);

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return refuses(path) ? -1 : ((open_fn *)dlsym(RTLD_NEXT, "open"))(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return refuses(path) ? -1 : ((open_fn *)dlsym(RTLD_NEXT, "open64"))(path, flags, mode);
}

int flock(int file, int operation)
{
    if (!getenv("FLOCK_ERRNO")) return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
    errno = number("FLOCK_ERRNO");
    return -1;
}
