/* Failure, as a value: every function that can fail returns hm_status; the command prints the message, once.
 *
 * The codes are the exit codes of the program. The first failure of a process keeps its message until it is cleared,
 * so that the worker thread that failed, not the one that noticed, is heard.
 */
#ifndef HM_STATUS_H
#define HM_STATUS_H

#include <stdbool.h>

typedef enum hm_status {
    HM_OK = 0,
    HM_EINTERNAL = 1,    /* out of memory; a broken invariant */
    HM_EUSAGE = 2,       /* command line or configuration */
    HM_EDATA = 3,        /* input data */
    HM_EOUTPUT = 4,      /* disk full, no permission */
    HM_ENUMERIC = 5,     /* NaN, divergence */
    HM_EINTERRUPTED = 6, /* stopped by a signal, after a checkpoint */
    HM_ELOST = 7,        /* a rank no longer answers */
} hm_status;

/* Replaces control characters but newlines, which a terminal would obey: texts may come from files of others. They are
 * those below the space, DEL, and U+0080 to U+009F, as UTF-8 or as single bytes. */
void hm_make_printable(char *text);

/* Records the message (printf-style, no newline) unless one is recorded already, and returns `status`; made
 * printable. Thread-safe. */
hm_status hm_fail(hm_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As hm_fail, for what the system refused: `reason` is its errno, whose text comes behind the message. */
hm_status hm_fail_system(hm_status status, int reason, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The errno of the recorded error, when it came from hm_fail_system: then a file was not found bad, but not read. Else
 * 0. */
int hm_error_reason(void);

/* Puts a place (printf-style, with what parts it from the rest) before the recorded message; returns `status`. Nothing
 * for HM_OK. Thread-safe. */
hm_status hm_fail_at(hm_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The recorded message, "" when there is none. Valid until hm_error_clear. */
const char *hm_error_message(void);
void hm_error_clear(void);

/* The less good of two outcomes: a failure rather than HM_OK, the lower code of two failures. */
hm_status hm_worse(hm_status a, hm_status b);

/* Passes a failure up. */
#define HM_TRY(call)                                                                                                   \
    do {                                                                                                               \
        hm_status hm_try_status_ = (call);                                                                             \
        if (hm_try_status_ != HM_OK) return hm_try_status_;                                                            \
    } while (0)

/* States what must hold, and what was wrong if it does not. */
#define HM_REQUIRE(condition, status, ...)                                                                             \
    do {                                                                                                               \
        if (!(condition)) return hm_fail((status), __VA_ARGS__);                                                       \
    } while (0)

#endif
