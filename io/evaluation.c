/* What is estimated of a model, as a list of declared results, and its place in model.h5. */
#include "io/model_file.h"
#include "io/store.h"

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 256 };

#define SCALAR(name_, type_, unit_, description_)                                                                      \
    {                                                                                                                  \
        .name = name_, .type = type_, .unit = unit_, .description = description_                                       \
    }
#define REAL(name_, unit_, description_) SCALAR(name_, HM_FIELD_FLOAT64, unit_, description_)
#define WHOLE(name_, description_) SCALAR(name_, HM_FIELD_INT64, NULL, description_)
#define ARRAY(name_, axis_, unit_, description_)                                                                       \
    {                                                                                                                  \
        .name = name_, .type = HM_FIELD_FLOAT64, .dims = 1, .axes = {axis_}, .unit = unit_,                            \
        .description = description_                                                                                    \
    }

#define SQUARE(name_, rows_, columns_, description_)                                                                   \
    {                                                                                                                  \
        .name = name_, .type = HM_FIELD_FLOAT64, .dims = 2, .axes = {rows_, columns_}, .description = description_     \
    }

static const hm_field fields[] = {
    REAL("log_z", "nats", "log of the partition function"),
    REAL("log_z_stderr", "nats", "standard error of log_z"),
    REAL("log_z_lower", "nats", "lower end of log_z, 3 standard errors of the mean weight below it"),
    REAL("log_z_upper", "nats", "upper end of log_z, 3 standard errors of the mean weight above it"),
    REAL("ess", NULL, "effective sample size, (sum w)^2 / sum w^2 over the chains"),
    REAL("log_weight_spread", "nats", "standard deviation of the log-weights"),
    REAL("seconds", "s", "wall-clock time of the estimate"),
    WHOLE("chains", "annealing runs"),
    WHOLE("rows", "rows of the data that were annealed"),
    WHOLE("temperatures", "inverse temperatures of the ladder, both ends included"),
    WHOLE("units", "units of the layer that was enumerated"),
    REAL("train_log_prob", "nats", "mean log-probability of the training examples"),
    REAL("train_log_prob_stderr", "nats", "standard error of train_log_prob, from the examples and from log_z"),
    REAL("train_log_prob_lower", "nats", "train_log_prob with log_z at its upper end"),
    REAL("train_log_prob_upper", "nats", "train_log_prob with log_z at its lower end"),
    REAL("test_log_prob", "nats", "mean log-probability of the test examples"),
    REAL("test_log_prob_stderr", "nats", "standard error of test_log_prob, from the examples and from log_z"),
    REAL("test_log_prob_lower", "nats", "test_log_prob with log_z at its upper end"),
    REAL("test_log_prob_upper", "nats", "test_log_prob with log_z at its lower end"),
    WHOLE("train_rows", "training examples that were evaluated"),
    WHOLE("test_rows", "test examples that were evaluated"),
    WHOLE("trusted", "1 when nothing speaks against the estimate, 0 when it should not be used"),
    ARRAY("log_weights", "chain", "nats", "log-weight of each annealing run"),
    ARRAY("test_free_energy", "row", "nats", "free energy of each test example"),
    ARRAY("row_log_weights", "row", "nats",
          "minus the log of the mean weight of each row's annealing runs: its own estimate of log_z, less that of the "
          "base"),
    REAL("train_error", NULL, "share of the training examples of which another class is the most probable"),
    REAL("train_error_stderr", NULL, "standard error of train_error"),
    REAL("train_cross_entropy", "nats", "mean of -log p(label) over the training examples"),
    REAL("train_cross_entropy_stderr", "nats", "standard error of train_cross_entropy"),
    REAL("test_error", NULL, "share of the test examples of which another class is the most probable"),
    REAL("test_error_stderr", NULL, "standard error of test_error"),
    REAL("test_cross_entropy", "nats", "mean of -log p(label) over the test examples"),
    REAL("test_cross_entropy_stderr", "nats", "standard error of test_cross_entropy"),
    SQUARE("train_confusion", "label", "told", "training examples by label (row) and most probable class (column)"),
    SQUARE("test_confusion", "label", "told", "test examples by label (row) and most probable class (column)"),
    WHOLE("samples", "draws of the latent variables of each row"),
    WHOLE("latent_units", "units of all latent layers"),
#define OF_SPLIT(SPLIT, EXAMPLES)                                                                                      \
    REAL(SPLIT "_draws_stderr", "nats", "the part of " SPLIT "_log_prob_stderr that is of the draws"),                 \
        REAL(SPLIT "_elbo", "nats", "mean evidence lower bound of the " EXAMPLES),                                     \
        REAL(SPLIT "_elbo_stderr", "nats", "standard error of " SPLIT "_elbo"),                                        \
        REAL(SPLIT "_log_likelihood", "nats", "mean of log p(v | h) over draws of q(h | v): " EXAMPLES),               \
        REAL(SPLIT "_kl", "nats", "mean of log q(h | v) - log p(h): " EXAMPLES),                                       \
        REAL(SPLIT "_ess", NULL, "mean effective number of the draws of a row"),                                       \
        WHOLE(SPLIT "_active_units", "latent units whose posterior mean has a variance above 0.01"),                   \
        ARRAY(SPLIT "_latent_variances", "latent", NULL, "variance of each latent unit's posterior mean"),             \
        ARRAY(SPLIT "_row_log_prob", "row", "nats", "log-probability of each of the " EXAMPLES)
    OF_SPLIT("train", "training examples"),
    OF_SPLIT("test", "test examples"),
#undef OF_SPLIT
    REAL("validation_log_prob", "nats", "mean log-density of the training rows on which the width was chosen"),
    REAL("width", NULL, "standard deviation of the Parzen windows"),
    REAL("inception", NULL, "inception score: mean over ten parts of the made rows"),
    REAL("inception_stderr", NULL, "standard error of inception, from the ten parts"),
    REAL("frechet", NULL, "Frechet distance of the features of made rows and of data"),
    REAL("frechet_stderr", NULL, "standard error of frechet, by the jackknife over ten parts"),
    WHOLE("classes_hit", "classes that are the most probable one of some made row"),
    ARRAY("class_histogram", "class", NULL, "made rows by their most probable class"),
    ARRAY("nearest_row", "made", NULL, "number of the training example nearest to a made row"),
    ARRAY("nearest_distance", "made", NULL, "its Euclidean distance"),
    ARRAY("betas", "temperature", NULL, "inverse temperatures of the ladder, from 0 (the base) to 1 (the model)"),
};

const hm_field *hm_evaluation_field(const char *name)
{
    for (size_t field = 0; field < sizeof fields / sizeof fields[0]; field++)
        if (strcmp(fields[field].name, name) == 0) return &fields[field];
    return NULL;
}

/* ---- lists of results ------------------------------------------------------------------------------------------- */

static hm_status add(hm_result results[], int *count, int room, const char *name, hm_field_type type, int dims,
                     hm_result result)
{
    const hm_field *field = hm_evaluation_field(name);
    HM_REQUIRE(field && field->type == type && field->dims == dims, HM_EINTERNAL,
               "evaluation: '%s' is not declared as %s of %d dimensions", name, hm_field_type_name(type), dims);
    HM_REQUIRE(*count < room, HM_EINTERNAL, "evaluation: no room for '%s'", name);
    result.field = *field;
    results[(*count)++] = result;
    return HM_OK;
}

hm_status hm_result_real(hm_result results[], int *count, int room, const char *name, const double *value)
{
    return add(results, count, room, name, HM_FIELD_FLOAT64, 0, (hm_result){.real = value, .count = 1});
}

hm_status hm_result_whole(hm_result results[], int *count, int room, const char *name, const int64_t *value)
{
    return add(results, count, room, name, HM_FIELD_INT64, 0, (hm_result){.whole = value, .count = 1});
}

hm_status hm_result_array(hm_result results[], int *count, int room, const char *name, const double *values,
                          int64_t size)
{
    return add(results, count, room, name, HM_FIELD_FLOAT64, 1, (hm_result){.real = values, .count = size});
}

hm_status hm_result_square(hm_result results[], int *count, int room, const char *name, const double *values,
                           int64_t size)
{
    return add(results, count, room, name, HM_FIELD_FLOAT64, 2, (hm_result){.real = values, .count = size});
}

/* ---- in the file ------------------------------------------------------------------------------------------------ */

static hm_status write_result(hm_store *store, const char *group, const hm_result *result)
{
    char path[PATH_ROOM];
    hm_field field = result->field;
    int length = snprintf(path, sizeof path, "%s/%s", group, field.name);
    HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "evaluation: the name %s is too long", field.name);
    HM_REQUIRE(field.dims <= 2, HM_EINTERNAL, "evaluation: %s has more than two dimensions", field.name);
    HM_REQUIRE(field.type == HM_FIELD_FLOAT64 || field.type == HM_FIELD_INT64, HM_EINTERNAL,
               "evaluation: %s is neither float64 nor int64", field.name);
    field.name = path;
    const void *data = field.type == HM_FIELD_FLOAT64 ? (const void *)result->real : (const void *)result->whole;
    return hm_store_write(store, &field, (int64_t[]){result->count, result->count}, data);
}

typedef struct evaluations_change {
    const char *identity;
    const hm_evaluation *evaluations;
    int count;
} evaluations_change;

static hm_status write_evaluation(hm_store *store, const char *identity, const hm_evaluation *evaluation)
{
    char group[PATH_ROOM];
    const char *method = evaluation->method;
    int length = snprintf(group, sizeof group, "/evaluation/%s", method);
    HM_REQUIRE(method[0] && !strchr(method, '/') && length < PATH_ROOM, HM_EINTERNAL, "evaluation '%s': not a name",
               method);
    if (evaluation->forget) return hm_store_remove_attribute(store, group, evaluation->forget);
    HM_TRY(hm_store_remove(store, group));
    if (evaluation->description) HM_TRY(hm_store_set_text(store, group, "description", evaluation->description));
    for (int note = 0; note < evaluation->note_count; note++)
        HM_TRY(hm_store_set_text(store, group, evaluation->notes[note].name, evaluation->notes[note].value));
    for (int result = 0; result < evaluation->result_count; result++)
        HM_TRY(write_result(store, group, &evaluation->results[result]));
    return hm_store_set_text(store, group, "model", identity);
}

static hm_status write_evaluations(hm_store *store, const void *state)
{
    const evaluations_change *change = state;
    for (int evaluation = 0; evaluation < change->count; evaluation++)
        HM_TRY(write_evaluation(store, change->identity, &change->evaluations[evaluation]));
    return HM_OK;
}

hm_status hm_model_file_evaluations(const char *path, const char *identity, const hm_evaluation evaluations[],
                                    int count)
{
    const evaluations_change change = {identity, evaluations, count};
    return hm_model_file_change(path, identity, write_evaluations, &change);
}
