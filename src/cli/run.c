#include "cli/run.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "io/dataset.h"
#include "io/model_file.h"
#include "mpi/comm_mpi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tables of a run ---------------------------------------------------------------------------------------- */

static const hm_setting general_entries[] = {
    {.key = "seed",
     .type = HM_SET_INT,
     .offset = offsetof(hm_general_settings, seed),
     .min = 0,
     .max = 9e15,
     .fallback = "1",
     .describe = "of every random number"},
    {.key = "shards",
     .type = HM_SET_INT,
     .offset = offsetof(hm_general_settings, shards),
     .min = 1,
     .max = HM_SHARDS_MAX,
     .fallback = "8",
     .describe = "parts into which batch and chains are cut, a power of two; results depend on it, not on ranks"},
    {.key = "threads",
     .type = HM_SET_INT,
     .offset = offsetof(hm_general_settings, threads),
     .min = 1,
     .max = 4096,
     .fallback = "1",
     .free = true,
     .describe = "threads of each rank; results do not depend on it"},
    {.key = "timeout",
     .type = HM_SET_REAL,
     .offset = offsetof(hm_general_settings, timeout),
     .min = 0,
     .max = 1e7,
     .fallback = "600",
     .free = true,
     .describe = "seconds that ranks wait for one that does not answer before the job is ended; 0: for ever"},
    {.key = NULL},
};
static const hm_setting checkpoint_entries[] = {
    {.key = "seconds",
     .type = HM_SET_REAL,
     .offset = offsetof(hm_checkpoint_settings, seconds),
     .min = 0,
     .max = 1e9,
     .fallback = "300",
     .free = true,
     .describe = "time between checkpoints; 0: no limit"},
    {.key = "steps",
     .type = HM_SET_INT,
     .offset = offsetof(hm_checkpoint_settings, steps),
     .min = 0,
     .max = 1e15,
     .fallback = "0",
     .free = true,
     .describe = "updates between checkpoints; 0: no limit"},
    {.key = NULL},
};

/* model.family, from the registry of families. */
static const hm_setting *family_entries(void)
{
    enum { FAMILIES_MAX = 64 };
    static const char *names[FAMILIES_MAX + 1];
    static const hm_setting entries[] = {
        {.key = "family",
         .type = HM_SET_CHOICE,
         .offset = offsetof(hm_run, family),
         .choices = names,
         .describe = "kind of model"},
        {.key = NULL},
    };
    for (int family = 0; family < FAMILIES_MAX && hm_model_classes[family]; family++)
        names[family] = hm_model_classes[family]->name;
    return entries;
}

static int list_sections(hm_run *run)
{
    const hm_section sections[HM_RUN_SECTIONS] = {
        {{"", general_entries}, &run->general},
        {hm_data_table, &run->data},
        {{"model", family_entries()}, run},
        {run->class->settings, run->model_settings},
        {hm_train_table, &run->train},
        {hm_contrast_table, &run->contrast},
        {hm_optimizer_table, &run->optimizer},
        {hm_ais_table, &run->ais},
        {{"checkpoint", checkpoint_entries}, &run->checkpoint},
    };
    memcpy(run->sections, sections, sizeof sections);
    return HM_RUN_SECTIONS;
}

/* ---- reading and checking --------------------------------------------------------------------------------------- */

hm_status hm_read_text(const char *path, char **text)
{
    enum { LIMIT = 1 << 20 };
    size_t size = 0;
    FILE *file = fopen(path, "rb");
    HM_REQUIRE(file, HM_EUSAGE, "%s: cannot be read: %s", path, strerror(errno));
    hm_status status = hm_alloc(text, LIMIT + 2, 1, "a configuration");
    if (status == HM_OK) size = fread(*text, 1, LIMIT + 1, file);
    if (status == HM_OK && ferror(file)) status = hm_fail(HM_EUSAGE, "%s: cannot be read: %s", path, strerror(errno));
    fclose(file);
    if (status == HM_OK && size > LIMIT)
        status = hm_fail(HM_EUSAGE, "%s: larger than 1 MiB; not a configuration", path);
    if (status == HM_OK && memchr(*text, '\0', size))
        status = hm_fail(HM_EUSAGE, "%s: holds a zero byte; not a configuration", path);
    if (status == HM_OK) return HM_OK;
    free(*text);
    *text = NULL;
    return status;
}

hm_status hm_text_everywhere(hm_comm *comm, char **text)
{
    int64_t size = comm->rank == 0 && *text ? (int64_t)strlen(*text) + 1 : 0;
    HM_TRY(comm->broadcast(comm, &size, sizeof size, 0));
    if (size == 0) return HM_OK;
    hm_status status = comm->rank == 0 ? HM_OK : hm_alloc(text, size, 1, "a configuration");
    HM_TRY(comm->agree(comm, status));
    return comm->broadcast(comm, *text, (size_t)size, 0);
}

hm_status hm_read_everywhere(hm_comm *comm, const char *path, char **text)
{
    *text = NULL;
    HM_TRY(comm->agree(comm, comm->rank == 0 ? hm_read_text(path, text) : HM_OK));
    return hm_text_everywhere(comm, text);
}

/* Puts the place of `key` in the configuration before the message of the failure. */
static hm_status at_key(const hm_run *run, const char *key, hm_status status)
{
    char message[1024];
    if (status == HM_OK) return HM_OK;
    snprintf(message, sizeof message, "%s", hm_error_message());
    hm_error_clear();
    return hm_fail(status, "%s: %s", hm_config_where(run->config, key), message);
}

/* Ranks each own the same number of shards. */
static hm_status check_shards(const hm_run *run, const hm_comm *comm)
{
    char works[256] = "";
    int64_t shards = run->general.shards;
    if ((shards & (shards - 1)) != 0)
        return at_key(run, "shards", hm_fail(HM_EUSAGE, "%lld shards; must be a power of two", (long long)shards));
    if (shards % comm->size == 0) return HM_OK;
    for (int64_t ranks = 1; ranks <= shards && strlen(works) + 24 < sizeof works; ranks *= 2)
        snprintf(works + strlen(works), sizeof works - strlen(works), "%s%lld", ranks > 1 ? ", " : "",
                 (long long)ranks);
    return at_key(run, "shards",
                  hm_fail(HM_EUSAGE, "%d ranks cannot share %lld shards evenly; ranks that work: %s", comm->size,
                          (long long)shards, works));
}

static hm_status find_family(hm_run *run)
{
    const char *name = hm_config_get(run->config, "model.family");
    run->class = name ? hm_model_find(name) : NULL;
    /* Without a known family the first one's table stands in: filling then refuses the name and lists the choices. */
    if (!run->class) run->class = hm_model_classes[0];
    HM_TRY(hm_model_class_check(run->class));
    return hm_alloc(&run->model_settings, 1, run->class->settings_size, "the model's settings");
}

/* The data file may be named relative to the folder of the command; the resolved configuration holds where it is. */
static hm_status resolve_data_file(hm_run *run)
{
    char *resolved = realpath(run->data.file, NULL);
    if (!resolved) return HM_OK; /* opening it will say what is wrong */
    free(run->data.file);
    run->data.file = resolved;
    return HM_OK;
}

static hm_status check_settings(hm_run *run, const hm_comm *comm)
{
    const char *key = "";
    HM_TRY(check_shards(run, comm));
    hm_status status = hm_contrast_check(&run->train, &run->contrast, (int)run->general.shards, &key);
    HM_TRY(at_key(run, key, status));
    HM_TRY(at_key(run, "ais.chains", hm_ais_settings_check(&run->ais)));
    if (run->class->check) HM_TRY(at_key(run, "model", run->class->check(run->model_settings)));
    return HM_OK;
}

static hm_status configure(hm_run *run, const hm_comm *comm, const char *name, const char *text, const hm_texts *sets)
{
    HM_TRY(hm_config_parse(name, text, &run->config));
    for (int set = 0; sets && set < sets->count; set++) HM_TRY(hm_config_set(run->config, sets->at[set]));
    HM_TRY(find_family(run));
    int count = list_sections(run);
    HM_TRY(hm_config_fill(run->config, run->sections, count));
    HM_TRY(check_settings(run, comm));
    HM_TRY(resolve_data_file(run));
    return hm_config_resolved(run->sections, count, &run->yaml);
}

hm_status hm_run_configure(hm_run *run, hm_cli *cli, const char *name, const char *text, const hm_texts *sets)
{
    *run = (hm_run){0};
    HM_TRY(cli->comm->agree(cli->comm, configure(run, cli->comm, name, text, sets)));
    HM_TRY(cli->comm->agree(cli->comm, hm_comm_mpi_set_timeout(cli->comm, run->general.timeout, hm_end_without_rank)));
    run->team = (hm_team){.threads = (int)run->general.threads};
    run->workers = (hm_workers){.comm = cli->comm,
                                .team = &run->team,
                                .shards = (int)run->general.shards,
                                .seed = (uint64_t)run->general.seed,
                                .log = cli->log};
    return HM_OK;
}

void hm_run_free(hm_run *run)
{
    for (int section = 0; section < HM_RUN_SECTIONS && run->sections[section].settings; section++)
        hm_settings_free(&run->sections[section].table, run->sections[section].settings);
    hm_config_free(run->config);
    free(run->model_settings);
    free(run->yaml);
    *run = (hm_run){0};
}

/* ---- is it the same run? ---------------------------------------------------------------------------------------- */

/* May the epochs of a run that has done some be changed? */
static bool epochs_are_free(const hm_run *stored, const hm_run *run, int64_t done)
{
    return stored->optimizer.schedule == HM_SCHEDULE_CONSTANT && run->train.epochs >= done;
}

/* Adds "train.batch is 40, was 20" for each setting of a section that differs. */
static void add_differences(const hm_section *stored, const hm_section *now, bool epochs_free, char *list, size_t size)
{
    const hm_settings_table *table = &now->table;
    for (const hm_setting *setting = table->entries; setting->key; setting++) {
        char is[64], was[64];
        bool epochs = now->table.entries == hm_train_table.entries && strcmp(setting->key, "epochs") == 0;
        size_t used = strlen(list);
        if (setting->free || (epochs && epochs_free) || hm_setting_same(setting, stored->settings, now->settings))
            continue;
        hm_setting_format(setting, now->settings, is, sizeof is);
        hm_setting_format(setting, stored->settings, was, sizeof was);
        snprintf(list + used, size - used, "%s%s%s%s is %s, was %s", used ? "; " : "", table->section,
                 *table->section ? "." : "", setting->key, is, was);
    }
}

hm_status hm_run_check_same(const hm_run *stored, const hm_run *run, const char *folder, int64_t epoch)
{
    char list[1024] = "";
    bool same_family = stored->class == run->class, epochs_free = epochs_are_free(stored, run, epoch);
    for (int section = 0; section < HM_RUN_SECTIONS; section++)
        if (same_family || run->sections[section].settings == run)
            add_differences(&stored->sections[section], &run->sections[section], epochs_free, list, sizeof list);
    HM_REQUIRE(!*list, HM_EUSAGE,
               "%s holds another run, begun with other settings: %s; choose another folder, or --overwrite", folder,
               list);
    return HM_OK;
}

/* ---- data and models -------------------------------------------------------------------------------------------- */

hm_transform hm_run_transform(const hm_run *run, hm_split split)
{
    return (hm_transform){.binarize = run->data.binarize,
                          .threshold = (float)run->data.threshold,
                          .seed = (uint64_t)run->general.seed,
                          .split = split};
}

hm_status hm_open_split(hm_comm *comm, const char *file, const char *split, hm_source **out)
{
    *out = NULL;
    hm_status status = comm->agree(comm, hm_dataset_open(file, split, out));
    if (status != HM_OK && *out) {
        (*out)->close(*out);
        *out = NULL;
    }
    return status;
}

static hm_status load_parameters(const char *path, const hm_run *run, int64_t visible, hm_model **model)
{
    HM_TRY(hm_model_declare(run->class, run->model_settings, visible, &run->team, model));
    HM_TRY(hm_model_file_check(path, &(*model)->layout)); /* before there is memory for what the file claims to hold */
    HM_TRY(hm_model_allocate(*model));
    HM_TRY(hm_model_file_params(path, &(*model)->layout, (*model)->params));
    (*model)->class->refresh(*model);
    return HM_OK;
}

hm_status hm_run_load(hm_run *run, hm_cli *cli, const char *folder, const hm_texts *sets, hm_model **model)
{
    hm_model_info info = {0};
    char *path = NULL;
    *run = (hm_run){0};
    *model = NULL;
    hm_status status = hm_path_in(folder, "model.h5", &path);
    if (status == HM_OK) status = hm_model_file_info(path, &info);
    status = cli->comm->agree(cli->comm, status);
    if (status == HM_OK) status = hm_run_configure(run, cli, path, info.config, sets);
    if (status == HM_OK) status = cli->comm->agree(cli->comm, load_parameters(path, run, info.visible, model));
    hm_model_info_free(&info);
    free(path);
    return status;
}
