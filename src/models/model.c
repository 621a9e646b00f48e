#include "models/model.h"

#include <stdio.h>
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
        model->classes = class->classes ? class->classes(model->settings) : 0;
        status = class->declare(model);
    }
    if (status != HM_OK) {
        hm_model_free(model);
        return status;
    }
    *out = model;
    return HM_OK;
}

void hm_shard_visible(const hm_model *model, const hm_shard *shard, float *out)
{
    for (int64_t row = 0; row < shard->data.rows; row++)
        memcpy(out + row * model->visible, shard->data.at + row * shard->data.columns,
               (size_t)model->visible * sizeof(float));
}

void hm_shard_labels(const hm_model *model, const hm_shard *shard, float *out)
{
    for (int64_t row = 0; row < shard->data.rows; row++)
        memcpy(out + row * model->classes, shard->data.at + row * shard->data.columns + model->visible,
               (size_t)model->classes * sizeof(float));
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

const hm_objective *hm_objective_find(const hm_model_class *class, const char *name)
{
    for (const hm_objective *const *at = class->objectives; *at; at++)
        if (strcmp(name, "default") == 0 || strcmp((*at)->name, name) == 0) return *at;
    return NULL;
}

int64_t hm_state_columns(const hm_model *model)
{
    return model->class->annealing ? model->class->annealing->state_columns(model) : model->visible;
}

bool hm_objective_reads(const hm_objective *objective, const char *key)
{
    char word[48];
    snprintf(word, sizeof word, " %s ", key);
    return strstr(objective->reads, word);
}

bool hm_model_anneals(const hm_model *model)
{
    if (!model->class->annealing) return false;
    if (model->class->annealing->check(model) == HM_OK) return true;
    hm_error_clear();
    return false;
}

typedef struct needed {
    const char *function;
    bool there;
} needed;

static hm_status check_there(const char *of, const char *name, const needed *list)
{
    for (; list->function; list++)
        HM_REQUIRE(list->there, HM_EINTERNAL, "the table of %s '%s' lacks `%s`, which training calls", of, name,
                   list->function);
    return HM_OK;
}

static hm_status check_objective(const hm_objective *objective)
{
    const needed list[] = {
        {"name", objective->name},
        {"reads", objective->reads},
        {"monitors", objective->monitors},
        {"scratch_bytes", objective->scratch_bytes},
        {"gradient", objective->gradient},
        {"monitor", objective->monitor},
        {NULL, false},
    };
    HM_TRY(check_there("objective", objective->name, list));
    const hm_inference *inference = objective->inference;
    if (inference) {
        const needed of_inference[] = {
            {"columns", inference->columns},
            {"scratch_bytes", inference->scratch_bytes},
            {"infer", inference->infer},
            {NULL, false},
        };
        HM_TRY(check_there("objective", objective->name, of_inference));
    }
    const hm_chain_functions *chains = objective->chains;
    if (!chains) return HM_OK;
    const needed of_chains[] = {
        {"columns", chains->columns}, {"sample_columns", chains->sample_columns},
        {"move", chains->move},       {"scratch_bytes", chains->scratch_bytes},
        {"start", chains->start},     {NULL, false},
    };
    return check_there("objective", objective->name, of_chains);
}

hm_status hm_model_class_check(const hm_model_class *class)
{
    HM_REQUIRE(class->name && class->describe && class->settings.entries, HM_EINTERNAL,
               "a model table lacks its name, description or settings");
    const needed always[] = {
        {"declare", class->declare}, {"destroy", class->destroy},       {"init", class->init},
        {"refresh", class->refresh}, {"objectives", class->objectives}, {NULL, false},
    };
    const needed of_energy[] = {
        {"free_energy", class->free_energy}, {"gibbs", class->gibbs}, {"sampling_bytes", class->sampling_bytes},
        {"base_biases", class->base_biases}, {"enter", class->enter}, {NULL, false},
    };
    bool energy = class->free_energy || class->gibbs || class->sampling_bytes || class->base_biases;
    HM_TRY(check_there("family", class->name, always));
    if (energy) HM_TRY(check_there("family", class->name, of_energy));
    HM_REQUIRE(energy || class->classify || class->latent, HM_EINTERNAL,
               "family '%s' can neither be sampled nor tell classes", class->name);
    HM_REQUIRE(*class->objectives, HM_EINTERNAL, "family '%s' has no objective", class->name);
    for (const hm_objective *const *at = class->objectives; *at; at++) HM_TRY(check_objective(*at));
    return HM_OK;
}
