/* The ranks of a run, as the loops see them. core/comm_serial.c is one process; mpi/comm_mpi.c is many.
 *
 * Sums are binary trees over ranks in rank order, ((r0 + r1) + (r2 + r3)) + ..., so that with each rank's own shards
 * added in the same tree the result is the tree over all shards, whatever the number of ranks (a power of two).
 * Every function but `fields` is collective: all ranks call it with the same counts. A failure is every rank's.
 */
#ifndef HM_COMM_H
#define HM_COMM_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct hm_comm hm_comm;

/* What a rank would like all to do soon; the greatest wish of all ranks wins. */
typedef enum hm_wish { HM_WISH_NOTHING, HM_WISH_CHECKPOINT, HM_WISH_STOP } hm_wish;

struct hm_comm {
    int rank, size;

    /* sum[i] becomes the tree sum over ranks, on every rank. Collective. */
    hm_status (*reduce_float)(hm_comm *comm, float *sum, int64_t count);
    hm_status (*reduce_double)(hm_comm *comm, double *sum, int64_t count);

    /* The same in the background: begin_float returns at once, and moves on what was begun before; `finish` waits for
     * all of it. Until then nothing that was begun may be touched, and nothing else be reduced. Collective, in the same
     * order on all ranks. */
    hm_status (*begin_float)(hm_comm *comm, float *sum, int64_t count);
    hm_status (*finish)(hm_comm *comm);

    /* `bytes` bytes of root's buffer to all. Collective. */
    hm_status (*broadcast)(hm_comm *comm, void *data, size_t bytes, int root);

    /* all[begin[r] .. begin[r + 1]) bytes become rank r's piece, on every rank; each rank has filled in its own piece
     * of `all`; begin has size + 1 entries. Collective. */
    hm_status (*all_gather)(hm_comm *comm, void *all, const int64_t begin[]);

    /* HM_OK if every rank's outcome is, else the outcome and the message of the lowest rank that failed. Collective.
     * To be called before the next collective after anything that may fail on one rank alone. */
    hm_status (*agree)(hm_comm *comm, hm_status mine);

    /* A call that waits for other ranks but is not in this table begins (collective file I/O): `what` ("writing
     * checkpoint.h5"; borrowed until it is done) is for messages. NULL: it is done. Not collective. */
    void (*watch)(hm_comm *comm, const char *what);

    /* `agree` carries each rank's wish along, and leaves the greatest one in `wished`: the same on every rank. */
    hm_wish wish, wished;

    /* A rank no longer answers (HM_ELOST): nothing collective can end any more, not even closing a shared file. */
    bool lost;

    void *state; /* the implementation's */
};

/* One process: size 1, sums are already sums. Static storage; nothing to free. */
hm_comm *hm_comm_serial(void);

#endif
