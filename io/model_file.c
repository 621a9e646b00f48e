#include "io/model_file.h"

#include "core/memory.h"
#include "io/digest.h"
#include "io/files.h"
#include "io/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 256 };

/* ---- attributes ------------------------------------------------------------------------------------------------- */

void hm_model_info_free(hm_model_info *info)
{
    free(info->family);
    free(info->config);
    *info = (hm_model_info){0};
}

/* The whole numbers among the attributes; an optional one is left out when it is 0. */
static const struct {
    const char *name;
    size_t offset;
    bool optional;
} numbers[] = {
    {"shards", offsetof(hm_model_info, shards), false},
    {"ranks", offsetof(hm_model_info, ranks), false},
    {"epochs", offsetof(hm_model_info, epochs), false},
    {"visible", offsetof(hm_model_info, visible), false},
    {"height", offsetof(hm_model_info, height), true},
    {"width", offsetof(hm_model_info, width), true},
    {"data_fingerprint", offsetof(hm_model_info, fingerprint), true},
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static int64_t *number_of(const hm_model_info *info, int number)
{
    return (int64_t *)((char *)info + numbers[number].offset);
}

static hm_status write_info(hm_store *store, const hm_model_info *info)
{
    HM_TRY(hm_store_set_text(store, "/", "family", info->family));
    HM_TRY(hm_store_set_text(store, "/", "config", info->config));
    HM_TRY(hm_store_set_seed(store, "/", "seed", info->seed));
    for (int number = 0; number < NUMBERS; number++) {
        int64_t value = *number_of(info, number);
        if (value != 0 || !numbers[number].optional) HM_TRY(hm_store_set_int(store, "/", numbers[number].name, value));
    }
    return HM_OK;
}

/* Height and width are a picture of a row, or both 0. */
static hm_status check_image(const hm_store *store, const hm_model_info *info)
{
    int64_t pixels = 0;
    bool fits = !__builtin_mul_overflow(info->height, info->width, &pixels) &&
                (pixels == 0 || pixels == info->visible) && (info->height == 0) == (info->width == 0);
    HM_REQUIRE(fits, HM_EDATA, "%s: height %lld and width %lld do not make rows of %lld", hm_store_path(store),
               (long long)info->height, (long long)info->width, (long long)info->visible);
    return HM_OK;
}

static hm_status find_identity(hm_store *store, const char *config, char identity[HM_IDENTITY_TEXT])
{
    _Static_assert((int)HM_IDENTITY_TEXT == (int)HM_DIGEST_TEXT, "an identity is a digest");
    return hm_digest_of(store, config, "/parameters", identity);
}

static hm_status read_info(hm_store *store, hm_model_info *info)
{
    HM_TRY(hm_store_get_text(store, "/", "family", &info->family));
    HM_TRY(hm_store_get_text(store, "/", "config", &info->config));
    HM_TRY(hm_store_get_seed(store, "/", "seed", &info->seed));
    for (int number = 0; number < NUMBERS; number++) {
        const char *name = numbers[number].name;
        if (numbers[number].optional && !hm_store_has_attribute(store, "/", name)) continue;
        HM_TRY(hm_store_get_int(store, "/", name, number_of(info, number)));
        HM_REQUIRE(*number_of(info, number) >= 0, HM_EDATA, "%s: attribute %s is negative", hm_store_path(store), name);
    }
    HM_TRY(check_image(store, info));
    return find_identity(store, info->config, info->identity);
}

hm_status hm_model_file_info(const char *path, hm_model_info *info)
{
    *info = (hm_model_info){0};
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_model, &store));
    hm_status status = read_info(store, info);
    hm_store_close(store);
    if (status != HM_OK) hm_model_info_free(info);
    return status;
}

/* ---- the model -------------------------------------------------------------------------------------------------- */

static hm_status write_model(hm_store *store, const hm_model_info *info, const hm_layout *layout, const float *params)
{
    HM_TRY(write_info(store, info));
    char identity[HM_IDENTITY_TEXT];
    if (info->preprocessing) HM_TRY(hm_preprocessing_store(store, info->preprocessing));
    HM_TRY(hm_parameters_write(store, "/parameters", layout, params));
    HM_TRY(find_identity(store, info->config, identity));
    HM_TRY(hm_store_set_text(store, "/", "identity", identity));
    return hm_store_commit(store);
}

/* Writers of one file take turns: each changes a copy of what the one before it left. */
static hm_status in_turn(const char *path, hm_status (*write)(const char *path, const void *state), const void *state)
{
    size_t room = strlen(path) + sizeof ".lock";
    int turn = -1;
    char *lock;
    HM_TRY(hm_alloc(&lock, (int64_t)room, 1, "a file's name"));
    snprintf(lock, room, "%s.lock", path);
    hm_status status = hm_file_take_turn(lock, &turn);
    if (status == HM_OK) status = write(path, state);
    hm_file_end_turn(lock, turn);
    free(lock);
    return status;
}

typedef struct new_model {
    const hm_model_info *info;
    const hm_layout *layout;
    const float *params;
} new_model;

static hm_status write_file(const char *path, const void *state)
{
    const new_model *model = state;
    hm_store *store;
    HM_TRY(hm_store_create(path, &hm_format_model, &store));
    hm_status status = write_model(store, model->info, model->layout, model->params);
    hm_store_close(store);
    return status;
}

hm_status hm_model_file_write(const char *path, const hm_model_info *info, const hm_layout *layout, const float *params)
{
    const new_model model = {info, layout, params};
    return in_turn(path, write_file, &model);
}

hm_status hm_model_file_check(const char *path, const hm_layout *layout)
{
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_model, &store));
    hm_status status = hm_parameters_check(store, "/parameters", layout);
    hm_store_close(store);
    return status;
}

hm_status hm_model_file_params(const char *path, const hm_layout *layout, float *params, bool taken[])
{
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_model, &store));
    hm_status status = hm_parameters_read(store, "/parameters", layout, params, taken);
    hm_store_close(store);
    return status;
}

typedef struct others {
    const hm_layout *layout;
    char *names;
    size_t size, used;
} others;

static hm_status add_other(void *state, const char *name, const hm_shape *shape, const char *description,
                           const char *unit)
{
    static const char group[] = "/parameters/";
    others *list = state;
    (void)shape, (void)description, (void)unit;
    if (strncmp(name, group, sizeof group - 1) != 0 || list->used >= list->size) return HM_OK;
    name += sizeof group - 1;
    if (hm_layout_find(list->layout, name) < 0)
        list->used += (size_t)snprintf(list->names + list->used, list->size - list->used, " %s", name);
    return HM_OK;
}

hm_status hm_model_file_others(const char *path, const hm_layout *layout, char *names, size_t size)
{
    hm_store *store;
    others list = {layout, names, size, 0};
    *names = 0;
    HM_TRY(hm_store_open(path, &hm_format_model, &store));
    hm_status status = hm_store_visit(store, add_other, &list);
    hm_store_close(store);
    return status;
}

hm_status hm_model_file_scalar(const char *path, const char *name, double *value)
{
    hm_store *store;
    hm_shape shape;
    int64_t whole = 0;
    HM_TRY(hm_store_open(path, &hm_format_model, &store));
    hm_status status = hm_store_shape(store, name, &shape);
    bool real = shape.type == HM_FIELD_FLOAT32 || shape.type == HM_FIELD_FLOAT64;
    hm_field field = {.name = name, .type = real ? HM_FIELD_FLOAT64 : HM_FIELD_INT64};
    if (status == HM_OK) status = hm_store_read(store, &field, NULL, real ? (void *)value : (void *)&whole);
    if (status == HM_OK && !real) *value = (double)whole;
    hm_store_close(store);
    return status;
}

/* ---- changes ----------------------------------------------------------------------------------------------------- */

/* The file holds the model that results were made of; it says so in its attribute too. */
static hm_status check_identity(hm_store *store, const char *identity)
{
    char *config, found[HM_IDENTITY_TEXT];
    HM_TRY(hm_store_get_text(store, "/", "config", &config));
    hm_status status = find_identity(store, config, found);
    free(config);
    HM_TRY(status);
    HM_REQUIRE(strcmp(found, identity) == 0, HM_EDATA,
               "%s: holds another model than when the command began (trained again since?); nothing was stored in it",
               hm_store_path(store));
    return hm_store_set_text(store, "/", "identity", identity);
}

typedef struct file_change {
    const char *identity;
    hm_status (*apply)(hm_store *store, const void *state);
    const void *state;
} file_change;

static hm_status change_file(const char *path, const void *state)
{
    const file_change *change = state;
    hm_store *store;
    HM_TRY(hm_store_update(path, &hm_format_model, &store));
    hm_status status = check_identity(store, change->identity);
    if (status == HM_OK) status = change->apply(store, change->state);
    if (status == HM_OK) status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}

hm_status hm_model_file_change(const char *path, const char *identity,
                               hm_status (*apply)(hm_store *store, const void *state), const void *state)
{
    const file_change change = {identity, apply, state};
    return in_turn(path, change_file, &change);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static hm_status samples_path(const char *name, char path[PATH_ROOM])
{
    int length = snprintf(path, PATH_ROOM, "/samples/%s", name);
    HM_REQUIRE(name[0] && !strchr(name, '/') && length < PATH_ROOM, HM_EINTERNAL, "samples '%s': not a name", name);
    return HM_OK;
}

typedef struct samples_change {
    const char *identity;
    const hm_samples *samples;
    int count;
} samples_change;

static hm_status write_samples(hm_store *store, const char *identity, const hm_samples *samples)
{
    char path[PATH_ROOM];
    HM_TRY(samples_path(samples->name, path));
    const int32_t *classes = samples->classes;
    const hm_field field = {.name = path,
                            .type = classes ? HM_FIELD_INT32 : HM_FIELD_FLOAT32,
                            .dims = classes ? 1 : 2,
                            .axes = {"sample", classes         ? NULL
                                               : samples->axis ? samples->axis
                                                               : "visible"},
                            .description = samples->description};
    const int64_t shape[2] = {samples->at.rows, samples->at.columns};
    HM_TRY(hm_store_write(store, &field, shape, classes ? (const void *)classes : samples->at.at));
    return hm_store_set_text(store, path, "model", identity);
}

/* All old ones go before the first new one comes: they share a dimension scale, whose length may be another now. */
static hm_status replace_samples(hm_store *store, const void *state)
{
    const samples_change *change = state;
    char path[PATH_ROOM];
    for (int index = 0; index < change->count; index++) {
        HM_TRY(samples_path(change->samples[index].name, path));
        HM_TRY(hm_store_remove(store, path));
    }
    for (int index = 0; index < change->count; index++)
        HM_TRY(write_samples(store, change->identity, &change->samples[index]));
    return HM_OK;
}

hm_status hm_model_file_samples(const char *path, const char *identity, const hm_samples samples[], int count)
{
    const samples_change change = {identity, samples, count};
    return hm_model_file_change(path, identity, replace_samples, &change);
}
