/* Preloaded into the program: it stands still (SIGSTOP) before it renames a temporary file, so that a test can end it
 * while the file is there. HARMONIUM_PAUSE: a part of the name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

int rename(const char *from, const char *to)
{
    int (*next)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    const char *name = getenv("HARMONIUM_PAUSE");
    if (name && strstr(from, name) && strstr(from, ".tmp")) raise(SIGSTOP);
    return next(from, to);
}
