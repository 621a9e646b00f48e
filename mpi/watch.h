/* A watch over calls that wait for other ranks without a time limit of their own (MPI-IO inside HDF5): a thread that
 * counts seconds, and when there are too many reports which ranks do not answer.
 *
 * It sees only its own host: a process there that is stopped, or gone, is named; when there is none, the missing rank
 * is on another host, or the file system hangs.
 */
#ifndef HM_WATCH_H
#define HM_WATCH_H

#include "core/status.h"

#include <stdbool.h>

/* Where a rank runs. */
typedef struct hm_place {
    char host[64];
    int process;
} hm_place;

/* Has to end the program, after printing the message if it `speaks`. Called from a thread of its own. */
typedef void hm_lost_fn(const char *message, bool speaks);

typedef struct hm_watch hm_watch;

/* places: (size), borrowed. Not collective. */
hm_status hm_watch_create(int rank, int size, const hm_place places[], hm_lost_fn *lost, hm_watch **out);
void hm_watch_free(hm_watch *watch);

/* From now on `what` ("writing checkpoint.h5"; borrowed) may take `seconds`; NULL: it is done. Calling it again starts
 * the count anew. */
void hm_watch_over(hm_watch *watch, const char *what, double seconds);

#endif
