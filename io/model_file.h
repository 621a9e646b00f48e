/* model.h5: a trained model - its configuration, its parameters, what was estimated of it, what was sampled from it.
 *
 *     /                       attributes family, config (YAML), seed, shards, ranks, epochs, visible, height, width,
 *                             identity, data_fingerprint
 *     /preprocessing          what `harmonium whiten` did to the rows of training, if it did (preprocessing.h)
 *     /parameters/NAME        float32, as many dimensions as the tensor
 *     /evaluation/METHOD/...  scalars and arrays; settings of the estimate as attributes of the group
 *     /samples/NAME           (n, visible); NAME_latent (n, latent), NAME_data (n, original)
 *
 * Nothing here is collective: parameters are the same on every rank, and rank 0 writes. Adding to an existing file is
 * atomic: a copy is changed and renamed over it.
 */
#ifndef HM_MODEL_FILE_H
#define HM_MODEL_FILE_H

#include "core/matrix.h"
#include "core/pack.h"
#include "core/status.h"
#include "io/fields.h"
#include "io/preprocessing.h"
#include "io/store.h"

/* The identity of a model: the digest (XXH3-128) of its configuration and its parameters, as text. Estimates and
 * samples carry it as the attribute `model`, and the root as `identity`: one that differs was made of another model. */
enum { HM_IDENTITY_TEXT = 33 };

/* The attributes of the root. Texts are the caller's when written; owned (hm_model_info_free) when read. */
typedef struct hm_model_info {
    char *family;
    char *config; /* the resolved configuration, YAML */
    uint64_t seed;
    int64_t shards, ranks, epochs;
    int64_t visible;                       /* columns of the data */
    int64_t height, width;                 /* of a row as an image; 0 when it is none (and then not in the file) */
    int64_t fingerprint;                   /* of the training rows (hm_fingerprint); 0 in files of before it was kept */
    const hm_preprocessing *preprocessing; /* when written: that of the training rows, or NULL; borrowed */
    char identity[HM_IDENTITY_TEXT];       /* filled when read, ignored when written */
} hm_model_info;

void hm_model_info_free(hm_model_info *info);

/* Writes a new file, in place of one that is there. params: a pack of the layout. HM_EOUTPUT. */
hm_status hm_model_file_write(const char *path, const hm_model_info *info, const hm_layout *layout,
                              const float *params);

/* The attributes. HM_EDATA. */
hm_status hm_model_file_info(const char *path, hm_model_info *info);

/* Does the file hold every tensor of the layout, in its shape? HM_EDATA; the message says which, with both shapes. */
hm_status hm_model_file_check(const char *path, const hm_layout *layout);

/* The parameters, into a pack of the layout. HM_EDATA as above. With taken (layout->count) the file may lack some,
 * which stay as they are: it says which were there. */
hm_status hm_model_file_params(const char *path, const hm_layout *layout, float *params, bool taken[]);

/* Names of parameters that the file has and the layout has not, each behind a space, into names (size, at most; "" when
 * there are none). HM_EDATA. */
hm_status hm_model_file_others(const char *path, const hm_layout *layout, char *names, size_t size);

/* ---- results added later ---------------------------------------------------------------------------------------- */

/* One result: a scalar or an array, as its field says; field.name is relative to the group, "log_z". */
typedef struct hm_result {
    hm_field field;       /* unit, description, axes; float64 or int64 */
    const double *real;   /* the data of a float64 field */
    const int64_t *whole; /* the data of an int64 field */
    int64_t count;        /* elements of an array (dims 1), rows of a square matrix (dims 2); ignored for a scalar */
} hm_result;

/* A setting of an estimate, stored as a text attribute: {"base", "data"}. */
typedef struct hm_note {
    const char *name, *value;
} hm_note;

/* One estimate: /evaluation/METHOD, replaced if it is there; with `forget` it stays, if it is there, without the note
 * of that name. */
typedef struct hm_evaluation {
    const char *method;       /* "ais", "exact" */
    const char *forget;       /* NULL, or all below is left out */
    const char *description;  /* attribute of the group; may be NULL */
    const hm_result *results; /* any subset of hm_evaluation_fields, and more */
    int result_count;
    const hm_note *notes;
    int note_count;
} hm_evaluation;

/* The fields that evaluations share (log_z, log_z_stderr, log_z_lower, log_z_upper, ess, chains, temperatures,
 * train_log_prob, train_log_prob_stderr, test_log_prob, test_log_prob_stderr, seconds, log_weight_spread, log_weights,
 * betas, ...) by name; NULL for another name. */
const hm_field *hm_evaluation_field(const char *name);

/* Adds results to a list that has room: by name from hm_evaluation_field, which must know it with that type and rank
 * (HM_EINTERNAL). */
hm_status hm_result_real(hm_result results[], int *count, int room, const char *name, const double *value);
hm_status hm_result_whole(hm_result results[], int *count, int room, const char *name, const int64_t *value);
hm_status hm_result_array(hm_result results[], int *count, int room, const char *name, const double *values,
                          int64_t size);
hm_status hm_result_square(hm_result results[], int *count, int room, const char *name, const double *values,
                           int64_t size);

/* Stores `count` evaluations of the model `identity` in one atomic change; writers take turns (a lock beside the file).
 * HM_EDATA when the file is not a model, or by now another one; HM_EOUTPUT. */
hm_status hm_model_file_evaluations(const char *path, const char *identity, const hm_evaluation evaluations[],
                                    int count);

/* What both of these do: `apply` to a copy of the file, which takes its place. Internal to io/. */
hm_status hm_model_file_change(const char *path, const char *identity,
                               hm_status (*apply)(hm_store *store, const void *state), const void *state);

/* One stored scalar, "/evaluation/ais/log_z". HM_EDATA when it is not there. */
hm_status hm_model_file_scalar(const char *path, const char *name, double *value);

/* Samples to be stored as /samples/NAME. */
typedef struct hm_samples {
    const char *name, *description;
    hm_matrix at;           /* (n, visible) */
    const char *axis;       /* what the columns are; NULL: visible units */
    const int32_t *classes; /* (n), which are stored instead; `at` has nothing but their number of rows. Or NULL */
} hm_samples;
enum { HM_SAMPLES_NAME_MAX = 200 }; /* letters of a name */

/* Stores `count` datasets of samples of the model `identity`, replacing those that are there, as evaluations are.
 * HM_EDATA, HM_EOUTPUT. */
hm_status hm_model_file_samples(const char *path, const char *identity, const hm_samples samples[], int count);

#endif
