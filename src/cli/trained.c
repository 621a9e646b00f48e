#include "cli/trained.h"

#include "core/memory.h"
#include "io/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what --set may change --------------------------------------------------------------------------------------- */

static const char advice[] =
    "the model was trained with it, and with another value it is another machine; settings of estimates (ais, "
    "importance, generation), seed, shards, threads, timeout and data.file may be set here";

/* Settings that change nothing of what was trained. Those of checkpoints are for training alone. */
static bool may_change(const hm_settings_table *table, const hm_setting *setting)
{
    bool general = !*table->section;
    if (strcmp(table->section, "checkpoint") == 0) return false;
    return setting->free || (general && (!strcmp(setting->key, "seed") || !strcmp(setting->key, "shards")));
}

hm_status hm_trained_check_texts(const hm_texts *sets)
{
    static const char family[] = "model.family=";
    for (int set = 0; sets && set < sets->count; set++)
        HM_REQUIRE(strncmp(sets->at[set], family, sizeof family - 1) != 0, HM_EUSAGE, "--set model.family: %s", advice);
    return HM_OK;
}

hm_status hm_trained_check_sets(const hm_run *run)
{
    for (int section = 0; section < run->section_count; section++) {
        const hm_settings_table *table = &run->sections[section].table;
        for (const hm_setting *setting = table->entries; setting->key; setting++) {
            char key[96];
            snprintf(key, sizeof key, "%s%s%s", table->section, *table->section ? "." : "", setting->key);
            if (hm_config_is_set(run->config, key) && !may_change(table, setting))
                return hm_run_at_key(run, key, hm_fail(HM_EUSAGE, "%s", advice));
        }
    }
    return HM_OK;
}

/* ---- its data ---------------------------------------------------------------------------------------------------- */

/* Must the rows of the file be transformed? HM_EDATA when they have another transform than those of the training. */
static hm_status compare_transforms(const hm_run *run, bool *raw)
{
    hm_preprocessing there;
    bool found;
    const char *file = run->data.file;
    *raw = false;
    if (run->fingerprint == 0 && !run->whitened) return HM_OK; /* it was not kept what the rows were */
    HM_TRY(hm_preprocessing_read(file, &hm_format_data, &there, &found));
    bool same = found && run->whitened && hm_preprocessing_same(&there, &run->preprocessing);
    if (found) hm_preprocessing_free(&there);
    *raw = run->whitened && !found;
    HM_REQUIRE(
        !found || run->whitened, HM_EDATA,
        "%s: its rows are whitened, and those that the model was trained on were not; give the data file that it "
        "was made of",
        file);
    HM_REQUIRE(
        !found || same, HM_EDATA,
        "%s: its rows were whitened by another transform than those that the model was trained on; give the data "
        "file that it was made of, whose rows the model's own transform is then applied to",
        file);
    return HM_OK;
}

static hm_status add_labels(const hm_run *run, hm_split split, int64_t classes, hm_source *rows, hm_source **out)
{
    int32_t *labels;
    int64_t count;
    const char *file = run->data.file, *name = hm_split_names[split];
    HM_TRY(hm_dataset_labels(file, name, &labels, &count));
    hm_status status = labels ? hm_source_labelled(rows, labels, classes, out)
                              : hm_fail(HM_EDATA, "%s: has no labels (/%s/y)", file, name);
    if (status != HM_OK) free(labels);
    return status;
}

hm_status hm_trained_open(const hm_run *run, hm_split split, int64_t classes, hm_source **out)
{
    const char *file = run->data.file, *name = hm_split_names[split];
    hm_source *rows, *white;
    bool raw;
    *out = NULL;
    HM_TRY(compare_transforms(run, &raw));
    if (!raw) return hm_dataset_open_labelled(file, name, classes, out);
    HM_TRY(hm_dataset_open(file, name, &rows));
    hm_status status = hm_preprocessed(&run->preprocessing, rows, &white);
    if (status != HM_OK) {
        rows->close(rows);
        return hm_fail_at(status, "%s: ", file);
    }
    *out = white;
    if (classes == 0) return HM_OK;
    status = add_labels(run, split, classes, white, out);
    if (status != HM_OK) {
        white->close(white);
        *out = NULL;
    }
    return status;
}

hm_status hm_trained_open_split(const hm_run *run, hm_comm *comm, hm_split split, int64_t classes, hm_source **out)
{
    hm_status status = comm->agree(comm, hm_trained_open(run, split, classes, out));
    if (status != HM_OK && *out) {
        (*out)->close(*out);
        *out = NULL;
    }
    return status;
}

/* The sum of the fingerprints of a rank's part of the rows. */
static hm_status sum_fingerprints(hm_source *rows, hm_range part, double *sum)
{
    enum { BLOCK = 256 };
    uint32_t hashes = 0;
    unsigned char *raw;
    HM_TRY(hm_alloc(&raw, BLOCK * rows->columns, hm_type_size(rows->type), "a block of rows"));
    hm_status status = HM_OK;
    for (int64_t begin = part.begin; status == HM_OK && begin < part.end; begin += BLOCK) {
        int64_t count = part.end - begin < BLOCK ? part.end - begin : BLOCK;
        status = rows->read(rows, begin, count, raw);
        if (status == HM_OK) hashes += hm_rows_fingerprint(rows, begin, count, raw);
    }
    free(raw);
    *sum = hashes;
    return status;
}

hm_status hm_trained_changed(const hm_run *run, hm_comm *comm, bool *changed)
{
    hm_source *rows;
    bool has = false;
    double sum = 0;
    int64_t classes = run->class->classes ? run->class->classes(run->model_settings) : 0;
    *changed = false;
    if (run->fingerprint == 0) return HM_OK;
    HM_TRY(comm->agree(comm, hm_dataset_has(run->data.file, hm_split_names[HM_TRAIN], &has)));
    *changed = !has;
    if (!has) return HM_OK;
    HM_TRY(hm_open_split(comm, run->data.file, hm_split_names[HM_TRAIN], classes, &rows));
    HM_TRY(comm->agree(comm, sum_fingerprints(rows, hm_part(rows->rows, comm->size, comm->rank), &sum)));
    hm_status status = comm->reduce_double(comm, &sum, 1);
    *changed = (int64_t)hm_fingerprint(rows, (uint32_t)(uint64_t)sum) != run->fingerprint;
    rows->close(rows);
    return status;
}
