/* checkpoint.h5: the state of a run between two updates, from which it goes on bit for bit, on any number of ranks.
 *
 *     /                     attributes step, epoch, stage, stage_step, stage_epoch, seed, shards, data, rng,
 *                           config (YAML)
 *     /parameters/NAME      float32, as in model.h5
 *     /optimizer/PACK/NAME  the optimiser's packs (velocity, moments), the same shapes
 *     /chains               (chains, columns) in global order: float32, or uint8 with 8 columns a byte when all are 0
 * or 1 /scalars/NAME         float64 running values (the clock, temperatures, ...)
 *
 * Everything is checksummed (Fletcher32), and the whole file is sealed (seal.h). The ranks write their own chains
 * through MPI-IO; the file replaces checkpoint.h5 when it is whole, and the one before it becomes checkpoint.prev.h5.
 */
#ifndef HM_CHECKPOINT_H
#define HM_CHECKPOINT_H

#include "core/comm.h"
#include "core/matrix.h"
#include "core/pack.h"

#include <mpi.h>

enum { HM_CHECKPOINT_PACKS = 4, HM_CHECKPOINT_SCALARS = 160 };

typedef struct hm_checkpoint_pack {
    const char *name; /* "velocity" */
    float *pack;      /* of the checkpoint's layout; the caller's */
} hm_checkpoint_pack;

typedef struct hm_checkpoint_scalar {
    char name[32];
    const char *unit, *description; /* of the dataset; unit may be NULL */
    double *value;                  /* the caller's, as all texts */
} hm_checkpoint_scalar;

/* Writing: everything is the caller's. Reading: layout, params, packs, the names, and chains of the right size are
 * given by the caller and filled in; see hm_checkpoint_info for how to know the sizes. */
typedef struct hm_checkpoint {
    const hm_layout *layout;
    float *params; /* a pack */
    hm_checkpoint_pack packs[HM_CHECKPOINT_PACKS];
    int pack_count;

    hm_matrix chains;    /* this rank's persistent chains; 0 rows on all ranks when there are none */
    int64_t first_chain; /* the number of its first one among all */
    int64_t all_chains;
    bool real_chains; /* units may have values that are not between 0 and 1 */

    hm_checkpoint_scalar scalars[HM_CHECKPOINT_SCALARS];
    int scalar_count;
} hm_checkpoint;

/* The attributes of the root. Texts are the caller's when written; owned (hm_checkpoint_info_free) when read. */
typedef struct hm_checkpoint_info {
    uint64_t seed;
    int64_t step;  /* updates done, over all stages */
    int64_t epoch; /* epochs done, over all stages */
    int64_t shards;
    int64_t data;                      /* fingerprint of the training data; the caller's idea of it */
    char *stage;                       /* the one that is under way, by name */
    int64_t stage_step, stage_epoch;   /* updates and epochs done in it */
    char *config;                      /* the resolved configuration, YAML */
    int64_t all_chains, chain_columns; /* read only: of /chains; 0 without chains */
} hm_checkpoint_info;

void hm_checkpoint_info_free(hm_checkpoint_info *info);

/* Writes FOLDER/checkpoint.h5. mpi: the communicator of comm's ranks. HM_EOUTPUT, on every rank; the files that were
 * there stay as they were. Collective. */
hm_status hm_checkpoint_write(const char *folder, hm_comm *comm, MPI_Comm mpi, const hm_checkpoint_info *info,
                              const hm_checkpoint *checkpoint);

/* The attributes of a checkpoint, given by its path. HM_EDATA. Not collective. */
hm_status hm_checkpoint_read_info(const char *path, hm_checkpoint_info *info);

/* The attributes of FOLDER's newest sound checkpoint, which is checkpoint.h5 when this returns. If that is damaged (or
 * missing), checkpoint.prev.h5 takes its name, and *warning, the caller's to free, says why; otherwise it is NULL.
 * info->config is NULL when there is no checkpoint at all. HM_EDATA when there are some and none is sound, HM_EOUTPUT.
 * One rank calls it, which has the folder for itself. */
hm_status hm_checkpoint_newest(const char *folder, hm_checkpoint_info *info, char **warning);

/* Reads parameters, packs, scalars and this rank's chains [first_chain, first_chain + chains.rows). Verifies the
 * checksums of what it reads. HM_EDATA when anything is missing, damaged or of another shape. Not collective: follow it
 * with comm->agree. */
hm_status hm_checkpoint_read(const char *path, hm_checkpoint *checkpoint);

#endif
