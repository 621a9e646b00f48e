/* checkpoint.h5.
 *
 * Rank 0 makes the file: attributes, parameters, packs, and the room of the chains. Then all ranks open it through
 * MPI-IO and write their own rows of the chains into that room (store.h, hm_store_share, says why in this order).
 */
#include "io/checkpoint.h"

#include "core/memory.h"
#include "io/h5.h"
#include "io/parameters.h"
#include "io/seal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 256, FOLDER_ROOM = 4096, BITS = 8 };

static const int64_t COUNT_MAX = INT64_C(1) << 53; /* of epochs and updates */

/* The generator that the numbers after a checkpoint come from. It has no state: (seed, step) is all there is to keep.
 */
static const char rng_description[] = "Philox4x32-10 keyed by seed, counted by (purpose, step, row, column)";

static const hm_field chains_field = {.name = "/chains",
                                      .type = HM_FIELD_FLOAT32,
                                      .dims = 2,
                                      .axes = {"chain", "unit"},
                                      .description = "persistent chains of all shards, in global order"};
static const hm_field packed_field = {
    .name = "/chains",
    .type = HM_FIELD_UINT8,
    .dims = 2,
    .axes = {"chain", "byte"},
    .description =
        "persistent chains of all shards, in global order; 8 units a byte, unit u in bit u % 8 of byte u / 8 "
        "(numpy.unpackbits with bitorder='little'); attribute columns says how many units there are"};

/* ---- bits ------------------------------------------------------------------------------------------------------- */

static bool all_bits(hm_matrix chains)
{
    for (int64_t at = 0; at < chains.rows * chains.columns; at++) {
        uint32_t bits; /* compared as bits: -0 is no 0, for a state must come back as it was */
        memcpy(&bits, chains.at + at, sizeof bits);
        if (bits != 0 && bits != 0x3f800000u) return false;
    }
    return true;
}

static int64_t packed_columns(int64_t columns) { return (columns + BITS - 1) / BITS; }

static void pack_bits(hm_matrix chains, uint8_t *bytes)
{
    for (int64_t row = 0; row < chains.rows; row++)
        for (int64_t unit = 0; unit < chains.columns; unit++)
            if (chains.at[row * chains.columns + unit] != 0)
                bytes[row * packed_columns(chains.columns) + unit / BITS] |= (uint8_t)(1u << unit % BITS);
}

static void unpack_bits(const uint8_t *bytes, hm_matrix chains)
{
    for (int64_t row = 0; row < chains.rows; row++)
        for (int64_t unit = 0; unit < chains.columns; unit++) {
            unsigned byte = bytes[row * packed_columns(chains.columns) + unit / BITS];
            chains.at[row * chains.columns + unit] = (float)(byte >> unit % BITS & 1u);
        }
}

/* ---- writing: rank 0 -------------------------------------------------------------------------------------------- */

static hm_status write_info(hm_store *store, const hm_checkpoint_info *info)
{
    HM_TRY(hm_store_set_seed(store, "/", "seed", info->seed));
    HM_TRY(hm_store_set_int(store, "/", "step", info->step));
    HM_TRY(hm_store_set_int(store, "/", "epoch", info->epoch));
    HM_TRY(hm_store_set_int(store, "/", "shards", info->shards));
    HM_TRY(hm_store_set_int(store, "/", "data", info->data));
    HM_TRY(hm_store_set_text(store, "/", "stage", info->stage));
    HM_TRY(hm_store_set_int(store, "/", "stage_step", info->stage_step));
    HM_TRY(hm_store_set_int(store, "/", "stage_epoch", info->stage_epoch));
    HM_TRY(hm_store_set_text(store, "/", "config", info->config));
    return hm_store_set_text(store, "/", "rng", rng_description);
}

static hm_status write_scalars(hm_store *store, const hm_checkpoint *checkpoint)
{
    for (int scalar = 0; scalar < checkpoint->scalar_count; scalar++) {
        char path[PATH_ROOM];
        const hm_checkpoint_scalar *at = &checkpoint->scalars[scalar];
        int length = snprintf(path, sizeof path, "/scalars/%s", at->name);
        HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "checkpoint: the name of a scalar is too long");
        const hm_field field = {
            .name = path, .type = HM_FIELD_FLOAT64, .unit = at->unit, .description = at->description};
        HM_TRY(hm_store_write(store, &field, NULL, at->value));
    }
    return HM_OK;
}

static hm_status pack_group(const char *name, char path[PATH_ROOM])
{
    int length = snprintf(path, PATH_ROOM, "/optimizer/%s", name);
    HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "checkpoint: the name of pack %s is too long", name);
    return HM_OK;
}

static hm_status write_packs(hm_store *store, const hm_checkpoint *checkpoint)
{
    HM_TRY(hm_parameters_write(store, "/parameters", checkpoint->layout, checkpoint->params));
    for (int index = 0; index < checkpoint->pack_count; index++) {
        char group[PATH_ROOM];
        HM_TRY(pack_group(checkpoint->packs[index].name, group));
        HM_TRY(hm_parameters_write(store, group, checkpoint->layout, checkpoint->packs[index].pack));
    }
    return HM_OK;
}

static hm_status reserve_chains(hm_store *store, const hm_checkpoint *checkpoint, bool bits)
{
    if (checkpoint->all_chains == 0) return HM_OK;
    int64_t columns = checkpoint->chains.columns;
    const int64_t shape[2] = {checkpoint->all_chains, bits ? packed_columns(columns) : columns};
    HM_TRY(hm_array_reserve(store, bits ? &packed_field : &chains_field, shape));
    HM_TRY(hm_store_set_int(store, "/chains", "columns", columns));
    return hm_store_set_int(store, "/chains", "bits", bits ? 1 : 0);
}

static hm_status write_common(hm_store *store, const hm_checkpoint_info *info, const hm_checkpoint *checkpoint,
                              bool bits)
{
    HM_TRY(write_info(store, info));
    HM_TRY(write_packs(store, checkpoint));
    HM_TRY(write_scalars(store, checkpoint));
    return reserve_chains(store, checkpoint, bits);
}

static hm_status make_file(const char *folder, const hm_checkpoint_info *info, const hm_checkpoint *checkpoint,
                           bool bits, hm_store **out)
{
    char path[FOLDER_ROOM], previous[FOLDER_ROOM];
    int length = snprintf(previous, sizeof previous, "%s/checkpoint.prev.h5", folder);
    HM_REQUIRE(length < FOLDER_ROOM, HM_EOUTPUT, "%s: the name is too long", folder);
    snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
    HM_TRY(hm_store_create(path, &hm_format_checkpoint, out));
    hm_status status = hm_h5_keep_previous(*out, previous);
    if (status == HM_OK) status = write_common(*out, info, checkpoint, bits);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

/* ---- writing: all ranks ----------------------------------------------------------------------------------------- */

static hm_status check_chains(const hm_checkpoint *checkpoint)
{
    int64_t rows = checkpoint->chains.rows, first = checkpoint->first_chain;
    HM_REQUIRE(rows >= 0 && first >= 0 && first <= checkpoint->all_chains && rows <= checkpoint->all_chains - first,
               HM_EINTERNAL, "checkpoint: chains [%lld, +%lld) of %lld", (long long)first, (long long)rows,
               (long long)checkpoint->all_chains);
    return HM_OK;
}

/* Are all chains of all ranks made of 0 and 1? Collective. */
static hm_status agree_on_bits(hm_comm *comm, const hm_checkpoint *checkpoint, bool *bits)
{
    double others = all_bits(checkpoint->chains) ? 0 : 1;
    HM_TRY(comm->agree(comm, check_chains(checkpoint)));
    HM_TRY(comm->reduce_double(comm, &others, 1));
    *bits = others == 0;
    return HM_OK;
}

/* This rank's rows as they are stored: the chains themselves, or their bits (*owned is freed by the caller). */
static hm_status stored_rows(const hm_checkpoint *checkpoint, bool bits, uint8_t **owned, const void **rows)
{
    *owned = NULL;
    *rows = checkpoint->chains.at;
    if (!bits) return HM_OK;
    int64_t size = checkpoint->chains.rows * packed_columns(checkpoint->chains.columns);
    HM_TRY(hm_alloc(owned, size + 1, 1, "packed chains"));
    pack_bits(checkpoint->chains, *owned);
    *rows = *owned;
    return HM_OK;
}

/* Collective. */
static hm_status write_chains(hm_store *store, hm_comm *comm, const hm_checkpoint *checkpoint, bool bits)
{
    uint8_t *owned;
    const void *rows;
    hm_array *array = NULL;
    HM_TRY(comm->agree(comm, stored_rows(checkpoint, bits, &owned, &rows)));
    hm_status status = comm->agree(comm, hm_array_open(store, bits ? &packed_field : &chains_field, &array));
    if (status == HM_OK) status = hm_array_write_rows(array, checkpoint->first_chain, checkpoint->chains.rows, rows);
    hm_array_close(array);
    free(owned);
    return comm->agree(comm, status);
}

/* Collective. */
static hm_status write_together(const char *folder, hm_comm *comm, MPI_Comm mpi, const hm_checkpoint_info *info,
                                const hm_checkpoint *checkpoint)
{
    bool bits;
    hm_store *store = NULL;
    HM_TRY(agree_on_bits(comm, checkpoint, &bits));
    hm_status status = comm->rank == 0 ? make_file(folder, info, checkpoint, bits, &store) : HM_OK;
    HM_TRY(comm->agree(comm, status));
    HM_TRY(hm_store_share(&store, comm, mpi));
    if (checkpoint->all_chains > 0) status = write_chains(store, comm, checkpoint, bits);
    if (status == HM_OK) status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}

hm_status hm_checkpoint_write(const char *folder, hm_comm *comm, MPI_Comm mpi, const hm_checkpoint_info *info,
                              const hm_checkpoint *checkpoint)
{
    comm->watch(comm, "writing checkpoint.h5");
    hm_status status = write_together(folder, comm, mpi, info, checkpoint);
    comm->watch(comm, NULL);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

void hm_checkpoint_info_free(hm_checkpoint_info *info)
{
    free(info->stage);
    free(info->config);
    *info = (hm_checkpoint_info){0};
}

/* The shape of /chains in units; `bits` says whether they are packed. */
static hm_status chains_shape(hm_store *store, int64_t *all, int64_t *columns, bool *bits)
{
    *all = *columns = 0;
    *bits = false;
    if (!hm_store_has(store, "/chains")) return HM_OK;
    hm_shape shape;
    int64_t packed;
    HM_TRY(hm_store_shape(store, "/chains", &shape));
    HM_TRY(hm_store_get_int(store, "/chains", "bits", &packed));
    HM_TRY(hm_store_get_int(store, "/chains", "columns", columns));
    HM_REQUIRE(shape.dims == 2 && *columns >= 0 && *columns <= INT64_MAX - BITS &&
                   shape.size[1] == (packed ? packed_columns(*columns) : *columns),
               HM_EDATA, "%s: the shape of /chains does not fit its attributes", hm_store_path(store));
    *all = shape.size[0];
    *bits = packed != 0;
    return HM_OK;
}

/* Counts that a program can have counted: a part is not more than its whole. */
static hm_status check_counts(const hm_store *store, const hm_checkpoint_info *info)
{
    const struct {
        const char *name;
        int64_t value, least, most;
    } counts[] = {{"step", info->step, 0, COUNT_MAX},
                  {"epoch", info->epoch, 0, COUNT_MAX},
                  {"stage_step", info->stage_step, 0, info->step},
                  {"stage_epoch", info->stage_epoch, 0, info->epoch},
                  {"shards", info->shards, 1, COUNT_MAX}};
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++)
        HM_REQUIRE(counts[at].value >= counts[at].least && counts[at].value <= counts[at].most, HM_EDATA,
                   "%s: attribute %s is %lld; it must be from %lld to %lld", hm_store_path(store), counts[at].name,
                   (long long)counts[at].value, (long long)counts[at].least, (long long)counts[at].most);
    return HM_OK;
}

static hm_status read_info(hm_store *store, hm_checkpoint_info *info)
{
    bool bits;
    HM_TRY(hm_store_get_seed(store, "/", "seed", &info->seed));
    HM_TRY(hm_store_get_int(store, "/", "step", &info->step));
    HM_TRY(hm_store_get_int(store, "/", "epoch", &info->epoch));
    HM_TRY(hm_store_get_int(store, "/", "shards", &info->shards));
    HM_TRY(hm_store_get_int(store, "/", "data", &info->data));
    HM_TRY(hm_store_get_text(store, "/", "stage", &info->stage));
    HM_TRY(hm_store_get_int(store, "/", "stage_step", &info->stage_step));
    HM_TRY(hm_store_get_int(store, "/", "stage_epoch", &info->stage_epoch));
    HM_TRY(hm_store_get_text(store, "/", "config", &info->config));
    HM_TRY(check_counts(store, info));
    return chains_shape(store, &info->all_chains, &info->chain_columns, &bits);
}

hm_status hm_checkpoint_read_info(const char *path, hm_checkpoint_info *info)
{
    *info = (hm_checkpoint_info){0};
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_checkpoint, &store));
    hm_status status = read_info(store, info);
    hm_store_close(store);
    if (status != HM_OK) hm_checkpoint_info_free(info);
    return status;
}

/* Is there a file of that name? What cannot be asked is no answer. */
static hm_status is_there(const char *path, bool *there)
{
    *there = access(path, F_OK) == 0;
    if (*there || errno == ENOENT) return HM_OK;
    return hm_fail_system(HM_EOUTPUT, errno, "%s: cannot be asked for", path);
}

/* The recorded error, of a checkpoint that may be as good as ever: it stays where it is. */
static hm_status say_unreadable(const char *path, const char *reason)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", reason);
    hm_error_clear();
    return hm_fail(HM_EOUTPUT,
                   "%s; that does not say that it is damaged, and nothing was changed: when it can be read, the same "
                   "command goes on; or move %s away",
                   why, path);
}

/* Keeps a damaged checkpoint under another name, and gives its own to the one before. */
static hm_status set_aside(const char *folder, const char *path, const char *previous, bool damaged)
{
    char aside[FOLDER_ROOM];
    int length = snprintf(aside, sizeof aside, "%s/checkpoint.damaged.h5", folder);
    HM_REQUIRE(length < FOLDER_ROOM, HM_EOUTPUT, "%s: the name is too long", folder);
    HM_REQUIRE(!damaged || rename(path, aside) == 0, HM_EOUTPUT, "%s: cannot be renamed to %s: %s", path, aside,
               strerror(errno));
    HM_REQUIRE(rename(previous, path) == 0, HM_EOUTPUT, "%s: cannot be renamed to %s: %s", previous, path,
               strerror(errno));
    return HM_OK;
}

/* checkpoint.prev.h5 in place of a checkpoint.h5 that is damaged (`reason`), or missing where there are no hard links
 * (hm_h5_publish; `reason` is NULL). */
static hm_status fall_back(const char *folder, const char *path, const char *previous, const char *reason,
                           hm_checkpoint_info *info, char **warning)
{
    hm_status status = hm_checkpoint_read_info(previous, info);
    if (status != HM_OK && hm_error_reason() != 0 && hm_error_reason() != ENOENT)
        return say_unreadable(previous, hm_error_message());
    if (status != HM_OK && reason) {
        hm_error_clear();
        return hm_fail(HM_EDATA, "%s; and %s is no better: there is nothing to go on from (--overwrite begins anew)",
                       reason, previous);
    }
    HM_TRY(status);
    HM_TRY(set_aside(folder, path, previous, reason != NULL));
    if (!reason) return HM_OK;
    size_t size = strlen(reason) + 160;
    HM_TRY(hm_alloc(warning, (int64_t)size, 1, "a warning"));
    snprintf(*warning, size,
             "%s; it is now checkpoint.damaged.h5; going on from the checkpoint before it, of update %lld", reason,
             (long long)info->step);
    return HM_OK;
}

/* checkpoint.h5, if it can be had; HM_EDATA only when it is damaged. A file with a good seal that cannot be used is
 * whole: one of a newer version, for example. */
static hm_status read_newest(const char *path, hm_checkpoint_info *info)
{
    hm_status status = hm_checkpoint_read_info(path, info);
    if (status == HM_OK) return HM_OK;
    char reason[1024];
    bool refused = hm_error_reason() != 0;
    snprintf(reason, sizeof reason, "%s", hm_error_message());
    if (refused) return say_unreadable(path, reason);
    hm_error_clear();
    bool sealed = false, whole = hm_seal_check(path, &sealed) == HM_OK && sealed;
    hm_error_clear();
    return hm_fail(whole && status == HM_EDATA ? HM_EOUTPUT : status, "%s", reason);
}

hm_status hm_checkpoint_newest(const char *folder, hm_checkpoint_info *info, char **warning)
{
    char path[FOLDER_ROOM], previous[FOLDER_ROOM], reason[1024];
    bool there, before;
    *info = (hm_checkpoint_info){0};
    *warning = NULL;
    int length = snprintf(previous, sizeof previous, "%s/checkpoint.prev.h5", folder);
    HM_REQUIRE(length < FOLDER_ROOM, HM_EOUTPUT, "%s: the name is too long", folder);
    snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
    HM_TRY(is_there(path, &there));
    HM_TRY(is_there(previous, &before));
    if (!there) return before ? fall_back(folder, path, previous, NULL, info, warning) : HM_OK;
    hm_status status = read_newest(path, info);
    if (status != HM_EDATA) return status;
    snprintf(reason, sizeof reason, "%s", hm_error_message());
    hm_error_clear();
    return fall_back(folder, path, previous, reason, info, warning);
}

static hm_status read_packs(hm_store *store, hm_checkpoint *checkpoint)
{
    HM_TRY(hm_parameters_read(store, "/parameters", checkpoint->layout, checkpoint->params, NULL));
    for (int index = 0; index < checkpoint->pack_count; index++) {
        char group[PATH_ROOM];
        HM_TRY(pack_group(checkpoint->packs[index].name, group));
        HM_TRY(hm_parameters_read(store, group, checkpoint->layout, checkpoint->packs[index].pack, NULL));
    }
    return HM_OK;
}

static hm_status read_scalars(hm_store *store, hm_checkpoint *checkpoint)
{
    for (int scalar = 0; scalar < checkpoint->scalar_count; scalar++) {
        char path[PATH_ROOM];
        int length = snprintf(path, sizeof path, "/scalars/%s", checkpoint->scalars[scalar].name);
        HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "checkpoint: the name of a scalar is too long");
        const hm_field field = {.name = path, .type = HM_FIELD_FLOAT64};
        HM_TRY(hm_store_read(store, &field, NULL, checkpoint->scalars[scalar].value));
        HM_REQUIRE(isfinite(*checkpoint->scalars[scalar].value), HM_EDATA, "%s: %s is %g; it must be finite",
                   hm_store_path(store), path, *checkpoint->scalars[scalar].value);
    }
    return HM_OK;
}

static hm_status read_bits(hm_array *array, const hm_checkpoint *checkpoint)
{
    uint8_t *bytes;
    int64_t size = checkpoint->chains.rows * packed_columns(checkpoint->chains.columns);
    HM_TRY(hm_alloc(&bytes, size + 1, 1, "packed chains"));
    hm_status status = hm_array_read_rows(array, checkpoint->first_chain, checkpoint->chains.rows, bytes);
    if (status == HM_OK) unpack_bits(bytes, checkpoint->chains);
    free(bytes);
    return status;
}

/* Units of chains are finite, and those that are no real numbers between 0 and 1. */
static hm_status check_units(const hm_store *store, const hm_checkpoint *checkpoint)
{
    hm_matrix chains = checkpoint->chains;
    for (int64_t at = 0; at < chains.rows * chains.columns; at++) {
        float value = chains.at[at];
        bool fits = isfinite(value) && (checkpoint->real_chains || (value >= 0 && value <= 1));
        HM_REQUIRE(fits, HM_EDATA, "%s: /chains holds %g (row %lld, column %lld), which is no value of its units",
                   hm_store_path(store), (double)value, (long long)(checkpoint->first_chain + at / chains.columns),
                   (long long)(at % chains.columns));
    }
    return HM_OK;
}

static hm_status read_chains(hm_store *store, const hm_checkpoint *checkpoint)
{
    int64_t all, columns;
    bool bits;
    hm_array *array;
    HM_TRY(check_chains(checkpoint));
    HM_TRY(chains_shape(store, &all, &columns, &bits));
    HM_REQUIRE(all == checkpoint->all_chains && (all == 0 || columns == checkpoint->chains.columns), HM_EDATA,
               "%s: /chains has shape (%lld, %lld), expected (%lld, %lld)", hm_store_path(store), (long long)all,
               (long long)columns, (long long)checkpoint->all_chains, (long long)checkpoint->chains.columns);
    if (checkpoint->chains.rows == 0) return HM_OK;
    HM_TRY(hm_array_open(store, bits ? &packed_field : &chains_field, &array));
    hm_status status =
        bits ? read_bits(array, checkpoint)
             : hm_array_read_rows(array, checkpoint->first_chain, checkpoint->chains.rows, checkpoint->chains.at);
    hm_array_close(array);
    return status == HM_OK && !bits ? check_units(store, checkpoint) : status;
}

hm_status hm_checkpoint_read(const char *path, hm_checkpoint *checkpoint)
{
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_checkpoint, &store));
    hm_status status = read_packs(store, checkpoint);
    if (status == HM_OK) status = read_scalars(store, checkpoint);
    if (status == HM_OK) status = read_chains(store, checkpoint);
    hm_store_close(store);
    return status;
}
