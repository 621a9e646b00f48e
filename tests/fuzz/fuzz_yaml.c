/* Configurations. What is accepted must, written out as the resolved configuration, be accepted again and be the same.
 */
#include "fuzz.h"
#include "infer/likelihood.h"
#include "io/config.h"
#include "models/model.h"
#include "train/contrast.h"
#include "train/optimizer.h"

enum { SECTIONS = 5 };

typedef struct settings {
    hm_train_settings train;
    hm_contrast_settings contrast;
    hm_optimizer_settings optimizer;
    hm_ais_settings ais;
    void *model;
    hm_section sections[SECTIONS];
} settings;

static void settings_init(settings *all)
{
    const hm_model_class *class = hm_model_classes[0];
    *all = (settings){.model = calloc(1, class->settings_size)};
    const hm_section sections[SECTIONS] = {{class->settings, all->model},
                                           {hm_train_table, &all->train},
                                           {hm_contrast_table, &all->contrast},
                                           {hm_optimizer_table, &all->optimizer},
                                           {hm_ais_table, &all->ais}};
    memcpy(all->sections, sections, sizeof sections);
}

static void settings_free(settings *all)
{
    for (int section = 0; section < SECTIONS; section++)
        hm_settings_free(&all->sections[section].table, all->sections[section].settings);
    free(all->model);
}

/* The resolved configuration of a text, or NULL when it is refused; `more` is a --set, or NULL. */
static char *resolve(const char *text, const char *more)
{
    settings all;
    hm_config *config = NULL;
    char *resolved = NULL;
    settings_init(&all);
    hm_status status = fuzz_refused(hm_config_parse("fuzz.yaml", text, &config));
    if (status == HM_OK && more) status = fuzz_refused(hm_config_set(config, more));
    if (status == HM_OK) status = fuzz_refused(hm_config_fill(config, all.sections, SECTIONS));
    if (status == HM_OK) fuzz_refused(hm_config_resolved(all.sections, SECTIONS, &resolved));
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
