#include "models/model.h"

#include <stdlib.h>
#include <string.h>

#define HM_MODEL(NAME) extern const hm_model_class hm_model_##NAME;
#include "models/models.def"
#undef HM_MODEL

const hm_model_class *const hm_model_classes[] = {
#define HM_MODEL(NAME) &hm_model_##NAME,
#include "models/models.def"
#undef HM_MODEL
    NULL,
};

const hm_model_class *hm_model_find(const char *name)
{
    for (int family = 0; hm_model_classes[family]; family++)
        if (strcmp(hm_model_classes[family]->name, name) == 0) return hm_model_classes[family];
    return NULL;
}

hm_status hm_model_declare(const hm_model_class *class, const void *settings, int64_t visible, const hm_team *team,
                           hm_model **out)
{
    hm_model *model;
    *out = NULL;
    HM_TRY(hm_alloc(&model, 1, sizeof *model, "the model"));
    model->class = class;
    model->visible = visible;
    model->team = team;
    hm_status status = hm_alloc(&model->settings, 1, class->settings_size, "the model's settings");
    if (status == HM_OK) {
        memcpy(model->settings, settings, class->settings_size);
        status = class->declare(model);
    }
    if (status != HM_OK) {
        hm_model_free(model);
        return status;
    }
    *out = model;
    return HM_OK;
}

hm_status hm_model_allocate(hm_model *model)
{
    HM_TRY(hm_pack_alloc(&model->layout, "the parameters", &model->params));
    return model->class->allocate ? model->class->allocate(model) : HM_OK;
}

hm_status hm_model_create(const hm_model_class *class, const void *settings, int64_t visible, const hm_team *team,
                          hm_model **out)
{
    HM_TRY(hm_model_declare(class, settings, visible, team, out));
    hm_status status = hm_model_allocate(*out);
    if (status == HM_OK) return HM_OK;
    hm_model_free(*out);
    *out = NULL;
    return status;
}

void hm_model_free(hm_model *model)
{
    if (!model) return;
    model->class->destroy(model);
    free(model->params);
    free(model->settings);
    free(model);
}

hm_status hm_model_class_check(const hm_model_class *class)
{
    const struct {
        const char *function;
        bool there;
    } needed[] = {
        {"declare", class->declare},
        {"destroy", class->destroy},
        {"init", class->init},
        {"refresh", class->refresh},
        {"monitors", class->monitors},
        {"chain_columns", class->chain_columns},
        {"scratch_bytes", class->scratch_bytes},
        {"start_chains", class->start_chains},
        {"gradient", class->gradient},
        {"monitor", class->monitor},
        {"finish", class->finish},
        {"free_energy", class->free_energy},
        {"gibbs", class->gibbs},
        {"sampling_bytes", class->sampling_bytes},
        {"base_biases", class->base_biases},
    };
    HM_REQUIRE(class->name && class->describe && class->settings.entries, HM_EINTERNAL,
               "a model table lacks its name, description or settings");
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        HM_REQUIRE(needed[i].there, HM_EINTERNAL,
                   "the table of family '%s' lacks `%s`, which contrastive training calls", class->name,
                   needed[i].function);
    return HM_OK;
}
