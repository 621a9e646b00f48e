#include "cli/run.h"

#include "cli/folder.h"
#include "cli/trained.h"
#include "cli/unused.h"
#include "core/kernels.h"
#include "core/memory.h"
#include "io/dataset.h"
#include "io/files.h"
#include "io/model_file.h"
#include "mpi/comm_mpi.h"

#include <errno.h>
#include <libgen.h>
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
    {.key = "start",
     .type = HM_SET_TEXT,
     .offset = offsetof(hm_general_settings, start),
     .fallback = "none",
     .describe = "none, or folder of a run whose parameters are the initial ones, as far as it has them"},
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

static const hm_setting stage_entries[] = {
    {.key = "name",
     .type = HM_SET_TEXT,
     .offset = offsetof(hm_stage, name),
     .describe = "what the stage is called, in messages and checkpoints"},
    {.key = NULL},
};

/* A stage's tables: its name, and those of section "train", which gives the defaults. */
static void list_stage(hm_run *run, hm_stage *stage)
{
    const char *at = stage->section, *base = "train";
    const hm_section sections[HM_STAGE_TABLES] = {
        {.table = {at, stage_entries}, .settings = stage},
        {.table = {at, hm_train_table.entries}, .settings = &stage->train, .base = base, .base_settings = &run->train},
        {.table = {at, hm_contrast_table.entries},
         .settings = &stage->contrast,
         .base = base,
         .base_settings = &run->contrast},
        {.table = {at, hm_optimizer_table.entries},
         .settings = &stage->optimizer,
         .base = base,
         .base_settings = &run->optimizer},
    };
    memcpy(run->sections + run->section_count, sections, sizeof sections);
    run->section_count += HM_STAGE_TABLES;
}

static bool has_two_players(const hm_run *run) { return (*run->class->objectives)->adversary_has; }

static hm_status list_stages(hm_run *run)
{
    int listed = hm_config_count(run->config, "stages");
    static const char *const others[] = {"stages", "stages.name", "stages.objective", "stages.epochs"};
    for (size_t at = 0; at < sizeof others / sizeof others[0]; at++)
        if (hm_config_get(run->config, others[at]))
            return hm_run_at_key(
                run, others[at],
                hm_fail(HM_EUSAGE, "must be a list, of one or more stages: '- {name: first, epochs: 10}'"));
    HM_REQUIRE(listed <= HM_STAGES_MAX, HM_EUSAGE, "stages: %d are given; there may be %d", listed, HM_STAGES_MAX);
    run->staged = listed > 0;
    run->stage_count = listed > 0 ? listed : 1;
    for (int stage = 0; stage < listed; stage++) {
        snprintf(run->stages[stage].section, sizeof run->stages[stage].section, "stages.%d", stage + 1);
        list_stage(run, &run->stages[stage]);
    }
    return HM_OK;
}

static hm_status list_sections(hm_run *run)
{
    bool staged = hm_config_count(run->config, "stages") > 0;
    const hm_section sections[] = {
        {.table = {"", general_entries}, .settings = &run->general},
        {.table = hm_data_table, .settings = &run->data},
        {.table = {"model", family_entries()}, .settings = run},
        {.table = run->class->settings, .settings = run->model_settings},
        {.table = hm_train_table, .settings = &run->train, .optional = staged},
        {.table = hm_contrast_table, .settings = &run->contrast, .optional = staged},
        {.table = hm_optimizer_table, .settings = &run->optimizer, .optional = staged},
        {.table = hm_ais_table, .settings = &run->ais},
        {.table = hm_importance_table, .settings = &run->importance},
        {.table = hm_generation_table, .settings = &run->generation},
        {.table = {"checkpoint", checkpoint_entries}, .settings = &run->checkpoint},
    };
    run->section_count = 0;
    for (size_t at = 0; at < sizeof sections / sizeof sections[0]; at++)
        run->sections[run->section_count++] = sections[at];
    HM_TRY(list_stages(run));
    if (!has_two_players(run)) return HM_OK;
    run->sections[run->section_count++] =
        (hm_section){.table = {"discriminator", hm_optimizer_table.entries},
                     .settings = &run->discriminator,
                     .base = staged ? run->stages[0].section : "train",
                     .base_settings = staged ? &run->stages[0].optimizer : &run->optimizer};
    return HM_OK;
}

/* ---- reading and checking --------------------------------------------------------------------------------------- */

/* A file, or a pipe that the shell made for this command: <(...) is /dev/fd/N. */
static hm_status open_text(const char *path, FILE **file)
{
    if (strncmp(path, "/dev/fd/", 8) != 0 && strcmp(path, "/dev/stdin") != 0)
        return hm_file_stream(path, HM_EUSAGE, file);
    *file = fopen(path, "rb");
    HM_REQUIRE(*file, HM_EUSAGE, "%s: cannot be read: %s", path, strerror(errno));
    return HM_OK;
}

hm_status hm_read_text(const char *path, char **text)
{
    enum { LIMIT = 1 << 20 };
    size_t size = 0;
    FILE *file;
    HM_TRY(open_text(path, &file));
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

hm_status hm_run_at_key(const hm_run *run, const char *key, hm_status status)
{
    return hm_fail_at(status, "%s: ", hm_config_where(run->config, key));
}

/* Ranks each own the same number of shards. */
static hm_status check_shards(const hm_run *run, const hm_comm *comm)
{
    char works[256] = "";
    int64_t shards = run->general.shards;
    if ((shards & (shards - 1)) != 0)
        return hm_run_at_key(run, "shards",
                             hm_fail(HM_EUSAGE, "%lld shards; must be a power of two", (long long)shards));
    if (shards % comm->size == 0) return HM_OK;
    for (int64_t ranks = 1; ranks <= shards && strlen(works) + 24 < sizeof works; ranks *= 2)
        snprintf(works + strlen(works), sizeof works - strlen(works), "%s%lld", ranks > 1 ? ", " : "",
                 (long long)ranks);
    return hm_run_at_key(run, "shards",
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

/* Where a path leads; of what is not there, or no longer, where it would. NULL when that cannot be told. */
static char *absolute(const char *path)
{
    char *resolved = realpath(path, NULL), *copy = resolved ? NULL : strdup(path),
         *again = resolved ? NULL : strdup(path);
    const char *parent = copy ? dirname(copy) : NULL;
    if (parent && again && *path && strcmp(parent, path) != 0) {
        char *folder = absolute(parent), *name = basename(again);
        if (folder && hm_path_in(strcmp(folder, "/") == 0 ? "" : folder, name, &resolved) != HM_OK) resolved = NULL;
        free(folder);
    }
    free(copy);
    free(again);
    return resolved;
}

/* A path may be relative to the folder of the command; the resolved configuration holds where it leads. */
static void resolve(char **path)
{
    char *resolved = absolute(*path);
    if (!resolved) return; /* opening it will say what is wrong */
    free(*path);
    *path = resolved;
}

/* Without `stages`, section "train" is the only one. Its texts stay the section's. */
static void make_only_stage(hm_run *run)
{
    hm_stage *stage = &run->stages[0];
    if (run->staged) return;
    stage->name = (char *)"train";
    stage->train = run->train;
    stage->contrast = run->contrast;
    stage->optimizer = run->optimizer;
    snprintf(stage->section, sizeof stage->section, "train");
}

static hm_status find_objective(const hm_run *run, hm_stage *stage)
{
    char known[256] = "";
    size_t used = 0;
    stage->objective = hm_objective_find(run->class, stage->train.objective);
    for (const hm_objective *const *at = run->class->objectives; *at && used < sizeof known; at++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*at)->name);
    HM_REQUIRE(stage->objective, HM_EUSAGE, "family %s cannot be trained for '%s'; it knows: %s", run->class->name,
               stage->train.objective, known);
    return HM_OK;
}

hm_status hm_run_at_stage(const hm_run *run, const hm_stage *stage, const char *key, hm_status status)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s.%s", stage->section, key);
    return hm_run_at_key(run, whole, status);
}

static hm_status check_stage(hm_run *run, hm_stage *stage)
{
    HM_REQUIRE(strlen(stage->name) <= HM_STAGE_NAME_MAX, HM_EUSAGE, "%s.name: more than %d letters", stage->section,
               HM_STAGE_NAME_MAX);
    for (hm_stage *other = run->stages; other < stage; other++)
        if (strcmp(other->name, stage->name) == 0)
            return hm_run_at_stage(run, stage, "name", hm_fail(HM_EUSAGE, "two stages are called '%s'", stage->name));
    return hm_run_at_stage(run, stage, "objective", find_objective(run, stage));
}

/* Numbers that do not fit together. */
static hm_status check_contrast(const hm_run *run, const hm_stage *stage)
{
    const char *key = "";
    hm_status status = hm_contrast_check(&stage->train, &stage->contrast, (int)run->general.shards, &key);
    return hm_run_at_stage(run, stage, key, status);
}

/* The discriminator has one optimiser for all stages, and so has the generator. */
static hm_status check_players(const hm_run *run)
{
    for (int stage = 1; has_two_players(run) && stage < run->stage_count; stage++)
        for (const hm_setting *setting = hm_optimizer_table.entries; setting->key; setting++)
            if (hm_setting_counts(&hm_optimizer_table, setting, &run->stages[stage].optimizer) &&
                !hm_setting_same(setting, &run->stages[0].optimizer, &run->stages[stage].optimizer))
                return hm_run_at_stage(run, &run->stages[stage], setting->key,
                                       hm_fail(HM_EUSAGE,
                                               "of two players the discriminator has one optimiser for all "
                                               "stages, and so has the generator: set it in section 'train'"));
    return HM_OK;
}

static hm_status check_binarize(const hm_run *run)
{
    bool real = run->class->takes_reals && run->class->takes_reals(run->model_settings);
    HM_REQUIRE(!real || run->data.binarize == HM_BINARIZE_NONE, HM_EUSAGE,
               "a model of real numbers takes values as they are; set data.binarize to none");
    bool draws = run->data.binarize == HM_BINARIZE_FIXED || run->data.binarize == HM_BINARIZE_DYNAMIC;
    bool groups = run->class->group && run->class->group(run->model_settings) != 0;
    HM_REQUIRE(!draws || !groups, HM_EUSAGE,
               "columns are drawn one by one, and softmax units have one 1 in each group; set data.binarize to none");
    return HM_OK;
}

static hm_status check_settings(hm_run *run, const hm_comm *comm)
{
    HM_TRY(check_shards(run, comm));
    for (int stage = 0; stage < run->stage_count; stage++) HM_TRY(check_stage(run, &run->stages[stage]));
    HM_TRY(hm_run_check_unused(run));
    for (int stage = 0; stage < run->stage_count; stage++) HM_TRY(check_contrast(run, &run->stages[stage]));
    HM_TRY(check_players(run));
    HM_TRY(hm_run_at_key(run, "data.binarize", check_binarize(run)));
    HM_TRY(hm_run_at_key(run, "ais.betas", hm_ais_settings_check(&run->ais)));
    if (run->class->check) HM_TRY(hm_run_at_key(run, "model", run->class->check(run->model_settings)));
    return HM_OK;
}

bool hm_run_starts_anew(const hm_run *run) { return strcmp(run->general.start, "none") == 0; }

static hm_status configure(hm_run *run, const hm_comm *comm, const char *name, const char *text, const hm_texts *sets)
{
    HM_TRY(hm_config_parse(name, text, &run->config));
    for (int set = 0; sets && set < sets->count; set++) HM_TRY(hm_config_set(run->config, sets->at[set]));
    HM_TRY(find_family(run));
    HM_TRY(list_sections(run));
    HM_TRY(hm_config_fill(run->config, run->sections, run->section_count));
    make_only_stage(run);
    HM_TRY(check_settings(run, comm));
    resolve(&run->data.file);
    if (!hm_run_starts_anew(run)) resolve(&run->general.start);
    return hm_config_resolved(run->sections, run->section_count, &run->yaml);
}

hm_status hm_run_configure(hm_run *run, hm_cli *cli, const char *name, const char *text, bool stored,
                           const hm_texts *sets)
{
    *run = (hm_run){.stored = stored};
    HM_TRY(cli->comm->agree(cli->comm, configure(run, cli->comm, name, text, sets)));
    HM_TRY(cli->comm->agree(cli->comm, hm_comm_mpi_set_timeout(cli->comm, run->general.timeout, hm_end_without_rank)));
    run->data_seed = (uint64_t)run->general.seed;
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
    for (int section = 0; section < run->section_count; section++)
        hm_settings_free(&run->sections[section].table, run->sections[section].settings);
    hm_config_free(run->config);
    free(run->model_settings);
    free(run->yaml);
    hm_preprocessing_free(&run->preprocessing);
    *run = (hm_run){0};
}

/* ---- is it the same run? ---------------------------------------------------------------------------------------- */

int hm_run_stage(const hm_run *run, const char *name)
{
    for (int stage = 0; stage < run->stage_count; stage++)
        if (strcmp(run->stages[stage].name, name) == 0) return stage;
    return -1;
}

/* May the epochs of the last stage be changed, of a run that has done some? */
static bool epochs_are_free(const hm_run *stored, const hm_run *run, int stage, int64_t done)
{
    int last = stored->stage_count - 1;
    const hm_stage *before = &stored->stages[last], *now = &run->stages[last];
    bool linear = before->optimizer.schedule == HM_SCHEDULE_LINEAR ||
                  stored->discriminator.schedule == HM_SCHEDULE_LINEAR; /* of one player: constant */
    return !linear && (stage < last || now->train.epochs >= done);
}

/* Adds "train.batch is 40, was 20" for each setting of a section that differs. */
static void add_differences(const hm_section *stored, const hm_section *now, bool epochs_free, char *list, size_t size)
{
    const hm_settings_table *table = &now->table;
    for (const hm_setting *setting = table->entries; setting->key; setting++) {
        char is[64], was[64];
        bool epochs = table->entries == hm_train_table.entries && strcmp(setting->key, "epochs") == 0;
        size_t used = strlen(list);
        if (setting->free || (epochs && epochs_free) || hm_setting_same(setting, stored->settings, now->settings))
            continue;
        hm_setting_format(setting, now->settings, is, sizeof is);
        hm_setting_format(setting, stored->settings, was, sizeof was);
        snprintf(list + used, size - used, "%s%s%s%s is %s, was %s", used ? "; " : "", table->section,
                 *table->section ? "." : "", setting->key, is, was);
    }
}

/* Sections that only give defaults to stages say nothing themselves. */
static bool is_compared(const hm_run *run, int section, bool same_family)
{
    const hm_section *at = &run->sections[section];
    return !at->optional && (same_family || at->settings == run);
}

hm_status hm_run_check_same(const hm_run *stored, const hm_run *run, const char *folder, const char *advice, int stage,
                            int64_t epoch)
{
    char list[1024] = "";
    bool same_family = stored->class == run->class, same_stages = stored->section_count == run->section_count;
    bool free_epochs = same_stages && epochs_are_free(stored, run, stage, epoch);
    if (!same_stages)
        snprintf(list, sizeof list, "%d stages, was %d", run->staged ? run->stage_count : 0,
                 stored->staged ? stored->stage_count : 0);
    for (int section = 0; same_stages && section < run->section_count; section++) {
        bool last = section + HM_STAGE_TABLES >= run->section_count || !run->staged;
        if (is_compared(run, section, same_family))
            add_differences(&stored->sections[section], &run->sections[section], free_epochs && last, list,
                            sizeof list);
    }
    HM_REQUIRE(!*list, HM_EUSAGE, "%s holds another run, begun with other settings: %s; %s", folder, list, advice);
    return HM_OK;
}

/* ---- data and models -------------------------------------------------------------------------------------------- */

hm_status hm_run_take_data(hm_run *run, hm_comm *comm, const char *file)
{
    free(run->data.file);
    run->data.file = strdup(file);
    if (run->data.file) resolve(&run->data.file);
    return comm->agree(comm, run->data.file ? HM_OK : hm_fail(HM_EINTERNAL, "no memory for a path"));
}

hm_transform hm_run_transform(const hm_run *run, hm_split split, int64_t labels)
{
    const hm_model_class *class = run->class;
    return (hm_transform){.file = run->data.file,
                          .binarize = run->data.binarize,
                          .threshold = (float)run->data.threshold,
                          .seed = run->data_seed,
                          .split = split,
                          .real = class->takes_reals && class->takes_reals(run->model_settings),
                          .group = class->group ? class->group(run->model_settings) : 0,
                          .labels = labels};
}

hm_status hm_open_split(hm_comm *comm, const char *file, const char *split, int64_t classes, hm_source **out)
{
    *out = NULL;
    hm_status status = comm->agree(comm, hm_dataset_open_labelled(file, split, classes, out));
    if (status != HM_OK && *out) {
        (*out)->close(*out);
        *out = NULL;
    }
    return status;
}

static hm_status load_parameters(const char *path, hm_run *run, int64_t visible, hm_model **model)
{
    HM_TRY(hm_model_declare(run->class, run->model_settings, visible, &run->team, model));
    HM_TRY(hm_model_file_check(path, &(*model)->layout)); /* before there is memory for what the file claims to hold */
    HM_TRY(hm_model_allocate(*model));
    HM_TRY(hm_model_file_params(path, &(*model)->layout, (*model)->params, NULL));
    (*model)->class->refresh(*model);
    return hm_preprocessing_read(path, &hm_format_model, &run->preprocessing, &run->whitened);
}

/* Every rank has read one model: the file was not replaced in between. Collective. */
static hm_status check_one_model(hm_comm *comm, const char *path, const char *before, char identity[HM_IDENTITY_TEXT])
{
    hm_model_info info = {0};
    hm_status status = hm_model_file_info(path, &info);
    memcpy(identity, info.identity, HM_IDENTITY_TEXT);
    hm_model_info_free(&info);
    HM_TRY(comm->agree(comm, status));
    bool same = strcmp(identity, before) == 0;
    HM_TRY(comm->broadcast(comm, identity, HM_IDENTITY_TEXT, 0));
    same = same && strcmp(identity, before) == 0;
    return comm->agree(
        comm, same ? HM_OK : hm_fail(HM_EDATA, "%s: was replaced while it was read; run the command again", path));
}

hm_status hm_run_load(hm_run *run, hm_cli *cli, const char *folder, const hm_texts *sets, hm_model **model)
{
    hm_model_info info = {0};
    char *path = NULL;
    *run = (hm_run){0};
    *model = NULL;
    hm_status status = hm_path_in(folder, "model.h5", &path);
    if (status == HM_OK) status = hm_folder_check_finished(folder);
    if (status == HM_OK) status = hm_model_file_info(path, &info);
    if (status == HM_OK) status = hm_trained_check_texts(sets);
    status = cli->comm->agree(cli->comm, status);
    if (status == HM_OK) status = hm_run_configure(run, cli, path, info.config, true, sets);
    if (status == HM_OK) status = cli->comm->agree(cli->comm, hm_trained_check_sets(run));
    run->data_seed = info.seed;
    run->fingerprint = info.fingerprint;
    if (status == HM_OK) status = cli->comm->agree(cli->comm, load_parameters(path, run, info.visible, model));
    if (status == HM_OK) status = check_one_model(cli->comm, path, info.identity, run->identity);
    hm_model_info_free(&info);
    free(path);
    return status;
}
