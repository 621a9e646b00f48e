/* Configurations. What is accepted must, written out as the resolved configuration, be accepted again and be the same.
 */
#include "fuzz.h"
#include "infer/likelihood.h"
#include "io/config.h"
#include "models/model.h"
#include "train/contrast.h"
#include "train/optimizer.h"

enum { STAGES = 2, TABLES = 3, SECTIONS = 5 + STAGES * TABLES };

typedef struct training {
    hm_train_settings train;
    hm_contrast_settings contrast;
    hm_optimizer_settings optimizer;
} training;

typedef struct settings {
    training base, stages[STAGES];
    hm_ais_settings ais;
    void *model;
    hm_section sections[SECTIONS];
    int count;
} settings;

/* The tables of training as a section of that name, whose defaults are those of `base`, if given. */
static void add_training(settings *all, const char *name, training *into, const training *base, bool optional)
{
    const char *from = base ? "train" : NULL;
    const hm_section sections[TABLES] = {
        {{name, hm_train_table.entries}, &into->train, from, base ? &base->train : NULL, optional},
        {{name, hm_contrast_table.entries}, &into->contrast, from, base ? &base->contrast : NULL, optional},
        {{name, hm_optimizer_table.entries}, &into->optimizer, from, base ? &base->optimizer : NULL, optional}};
    memcpy(all->sections + all->count, sections, sizeof sections);
    all->count += TABLES;
}

static void settings_init(settings *all, int stages)
{
    static const char *const names[STAGES] = {"stages.1", "stages.2"};
    const hm_model_class *class = hm_model_classes[0];
    *all = (settings){.model = calloc(1, class->settings_size)};
    all->sections[all->count++] = (hm_section){.table = class->settings, .settings = all->model};
    all->sections[all->count++] = (hm_section){.table = hm_ais_table, .settings = &all->ais};
    add_training(all, "train", &all->base, NULL, stages > 0);
    for (int stage = 0; stage < stages && stage < STAGES; stage++)
        add_training(all, names[stage], &all->stages[stage], &all->base, false);
}

static void settings_free(settings *all)
{
    for (int section = 0; section < all->count; section++)
        hm_settings_free(&all->sections[section].table, all->sections[section].settings);
    free(all->model);
}

/* The resolved configuration of a text, or NULL when it is refused; `more` is a --set, or NULL. */
static char *resolve(const char *text, const char *more)
{
    settings all;
    hm_config *config = NULL;
    char *resolved = NULL;
    hm_status status = fuzz_refused(hm_config_parse("fuzz.yaml", text, &config));
    settings_init(&all, status == HM_OK ? hm_config_count(config, "stages") : 0);
    if (status == HM_OK && more) status = fuzz_refused(hm_config_set(config, more));
    if (status == HM_OK) status = fuzz_refused(hm_config_fill(config, all.sections, all.count));
    if (status == HM_OK) fuzz_refused(hm_config_resolved(all.sections, all.count, &resolved));
    hm_config_free(config);
    settings_free(&all);
    return resolved;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    memcpy(text, data, size);
    char *assignment = strrchr(text, '\n'); /* the last line is a --set */
    if (assignment) *assignment++ = '\0';
    char *resolved = resolve(text, assignment);
    if (resolved) {
        char *again = resolve(resolved, NULL);
        FUZZ_CLAIM(again && strcmp(resolved, again) == 0);
        free(again);
    }
    free(resolved);
    free(text);
    return 0;
}
