/* The deep Boltzmann machine (Salakhutdinov & Hinton 2009), of any number of hidden layers:
 *
 *   E(v, h_1 .. h_L) = -b'v - sum_l c_l'h_l - v'W_1 h_1 - sum_l h_l'W_{l+1} h_{l+1}
 *
 * Its posterior p(h | v) is replaced by a factorial q(h), found by mean field, so that log p(v) is known by the bound
 *
 *   log p(v) >= E_q[-E(v, h)] + H(q) - log Z.
 *
 * The gradient is that of the bound: statistics of q on the data against those of the model, whose chains take Gibbs
 * steps in two blocks, even and odd layers. (Goodfellow, Bengio, Courville 2016, section 20.4.) Ways to train it:
 * all layers from the start, centred (Montavon & Mueller 2012), or after layer-wise pre-training, where a layer of the
 * finished machine gets input from both its neighbours (but labels) and has only one of them: that one's input is
 * counted twice. A third way, without chains, is multi-prediction (Goodfellow et al. 2013).
 *
 * With label units, one softmax group y above h_L, it is a machine of p(v, y): -d'y - h_L' U y more. Training sees both
 * v and y; what is told of p(v) has y inferred along with h.
 */
#include "boltzmann/chains.h"
#include "boltzmann/classifier.h"
#include "boltzmann/gradient.h"
#include "boltzmann/sides.h"
#include "boltzmann/mean_field.h"
#include "boltzmann/multi_prediction.h"
#include "boltzmann/pretrain.h"
#include "boltzmann/recognition.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct dbm_settings {
    hm_deep deep;
    hm_machine_units units;
    hm_mean_field mean_field;
    bool recognition;
} dbm_settings;

#define FIELD(NAME) .offset = offsetof(dbm_settings, NAME)
static const hm_setting dbm_entries[] = {
    HM_DEEP_SETTINGS(dbm_settings),
    {.key = "mean_field_updates",
     .type = HM_SET_INT,
     FIELD(mean_field.updates),
     .min = 1,
     .max = 1e6,
     .fallback = "10",
     .describe = "mean-field updates of all hidden layers in training, at most"},
    {.key = "mean_field_tolerance",
     .type = HM_SET_REAL,
     FIELD(mean_field.tolerance),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .describe = "... or until no probability of the row moves by more; 0: always all updates"},
    {.key = "mean_field_damping",
     .type = HM_SET_REAL,
     FIELD(mean_field.damping),
     .min = 0,
     .max = 0.99,
     .fallback = "0",
     .describe = "share of the old probabilities that each update keeps"},
    {.key = "recognition",
     .type = HM_SET_BOOL,
     FIELD(recognition),
     .fallback = "false",
     .describe = "mean field starts from a network that learns where it ends (Salakhutdinov & Larochelle 2010)"},
    HM_MACHINE_UNITS(dbm_settings),
    {.key = "label_units",
     .type = HM_SET_BOOL,
     FIELD(units.label_layer),
     .fallback = "false",
     .describe =
         "the classes are units of the machine too, one softmax group above the highest hidden layer: p(v, label)"},
    {.key = NULL},
};
#undef FIELD

/* Inference on a finished model goes on until nothing moves. */
static const hm_mean_field converged = {.updates = 1000, .tolerance = 1e-6, .damping = 0};

static const dbm_settings *settings_of(const hm_model *model) { return model->settings; }

static hm_status dbm_check(const void *settings)
{
    const dbm_settings *dbm = settings;
    return hm_deep_check(&dbm->deep, 1, dbm->units.label_layer ? HM_LAYERS_MAX - 2 : HM_LAYERS_MAX - 1,
                         dbm->units.label_layer);
}

static hm_status dbm_declare(hm_model *model)
{
    int64_t units[HM_LAYERS_MAX];
    HM_TRY(dbm_check(model->settings));
    HM_REQUIRE(settings_of(model)->units.hidden == 0, HM_EUSAGE,
               "model.hidden_units: mean field is of binary hidden units; a dbm has bernoulli ones");
    int layers = hm_deep_units(&settings_of(model)->deep, units);
    HM_TRY(hm_machine_declare(model, &settings_of(model)->units, layers, units));
    if (!settings_of(model)->recognition) return HM_OK;
    HM_TRY(hm_alloc(&model->state, 1, sizeof(hm_recognition), "a recognition network"));
    return hm_recognition_declare(model, model->state);
}

/* NULL without one. */
static hm_recognition *recognition_of(const hm_model *model) { return model->state; }

static void dbm_destroy(hm_model *model)
{
    if (model->state) hm_recognition_free(model->state);
    free(model->state);
    hm_machine_free(model);
}

static void dbm_refresh(hm_model *model)
{
    hm_machine_refresh(model);
    if (model->state) hm_recognition_refresh(model, model->state);
}

static hm_status dbm_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    return hm_machine_init(model, seed, settings_of(model)->deep.init_std, base_rates);
}

/* ---- inference -------------------------------------------------------------------------------------------------- */

static hm_status states_alloc(const hm_machine *machine, int64_t rows, hm_arena *scratch, hm_states *states)
{
    HM_TRY(hm_side_alloc(machine, HM_EVEN, rows, scratch, states));
    return hm_side_alloc(machine, HM_ODD, rows, scratch, states);
}

static size_t states_bytes(const hm_machine *machine, int64_t rows)
{
    return hm_side_bytes(machine, HM_EVEN, rows) + hm_side_bytes(machine, HM_ODD, rows);
}

static size_t inference_bytes(const hm_machine *machine, int64_t rows)
{
    size_t field = hm_mean_field_bytes(machine, rows), energy = hm_side_log_prob_bytes(machine, rows);
    return states_bytes(machine, rows) + (field > energy ? field : energy);
}

/* q of the hidden layers and of labels that are not given, layer 0 of states being given. */
static hm_status infer(const hm_model *model, const hm_mean_field *how, int given, const hm_states *states,
                       hm_arena *scratch, hm_mean_field_result *result)
{
    const hm_recognition *recognition = recognition_of(model);
    bool recognised = recognition && recognition->made;
    if (recognised) hm_recognise(model, recognition, states);
    return hm_mean_field_run(model, model->machine, how, given | (recognised ? HM_GIVEN_HIDDEN : 0), states, scratch,
                             result);
}

/* The same of rows v without labels. states: room for all layers. */
static hm_status infer_from(const hm_model *model, const hm_mean_field *how, hm_matrix v, const hm_states *states,
                            hm_arena *scratch)
{
    hm_mean_field_result result;
    memcpy(states->at[0], v.at, (size_t)(v.rows * v.columns) * sizeof(float));
    return infer(model, how, 0, states, scratch, &result);
}

/* The bound, with mean field to convergence. */
static hm_status dbm_free_energy(const hm_model *model, hm_matrix v, int64_t first_row, hm_arena *scratch, double out[])
{
    (void)first_row;
    hm_states states = {0};
    HM_TRY(states_alloc(model->machine, v.rows, scratch, &states));
    HM_TRY(infer_from(model, &converged, v, &states, scratch));
    return hm_variational_free_energy(model, model->machine, &states, scratch, out);
}

/* v, and a draw of q for the even layers above it. */
static hm_status dbm_enter(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                           hm_arena *scratch, hm_matrix rows)
{
    const hm_machine *machine = model->machine;
    hm_states states = {0};
    HM_TRY(states_alloc(machine, v.rows, scratch, &states));
    HM_TRY(infer_from(model, &converged, v, &states, scratch));
    for (int64_t row = 0; row < v.rows; row++)
        memcpy(rows.at + row * rows.columns, v.at + row * v.columns, (size_t)v.columns * sizeof(float));
    for (int l = 2; l < machine->layers; l += 2) {
        int64_t units = machine->layer[l].units;
        hm_stream own = *stream;
        own.step = stream->step * HM_LAYERS_MAX + (uint64_t)l;
        for (int64_t row = 0; row < v.rows; row++)
            hm_units_draw(&machine->layer[l], states.at[l] + row * units, NULL, &own, first_row + row,
                          rows.at + row * rows.columns + hm_layer_column(machine, l));
    }
    return HM_OK;
}

static size_t dbm_sampling_bytes(const hm_model *model, int64_t rows)
{
    size_t gibbs = hm_machine_gibbs_bytes(model, rows), energy = inference_bytes(model->machine, rows);
    return gibbs > energy ? gibbs : energy;
}

/* ---- the bound as an objective ---------------------------------------------------------------------------------- */

static hm_status positive(const hm_model *model, const hm_machine *machine, hm_shard *shard, const hm_states *states,
                          const void *context)
{
    hm_mean_field_result result;
    (void)context;
    int given = hm_has_label_layer(machine) ? HM_GIVEN_LABELS : 0;
    hm_shard_visible(model, shard, states->at[0]);
    if (given) hm_shard_labels(model, shard, states->at[machine->layers - 1]);
    return infer(model, &settings_of(model)->mean_field, given, states, shard->scratch, &result);
}

/* Mean field takes most of an update, so that it is not done shard by shard. */
static int64_t inferred_columns(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_machine_inferred_columns(model->machine, how);
}

static size_t infer_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t rows)
{
    return hm_machine_infer_bytes(model->machine, how, rows) + hm_mean_field_bytes(model->machine, rows);
}

static hm_status infer_rows(const hm_model *model, hm_shard *part)
{
    return hm_machine_infer(model, model->machine, part, positive, NULL);
}

static const hm_inference inference = {.columns = inferred_columns, .scratch_bytes = infer_bytes, .infer = infer_rows};

static hm_status dbm_gradient(const hm_model *model, hm_shard *shard)
{
    const hm_machine *machine = model->machine;
    const hm_recognition *recognition = recognition_of(model);
    hm_states states = {0};
    HM_REQUIRE(shard->inferred.at, HM_EINTERNAL, "the gradient of a dbm finds no states inferred");
    HM_TRY(hm_machine_gradient(model, machine, shard, positive, NULL));
    if (!recognition) return HM_OK;
    HM_TRY(states_alloc(machine, shard->data.rows, shard->scratch, &states));
    hm_states_load(machine, shard->inferred, &states);
    return hm_recognition_gradient(model, recognition, shard, &states);
}

static bool dbm_learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    return hm_likelihood_learns(model, how, tensor) ||
           (recognition_of(model) && hm_recognition_has(recognition_of(model), tensor));
}

static hm_status start_recognition(hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    if (recognition_of(model)) hm_recognition_start(model, recognition_of(model));
    model->class->refresh(model);
    return HM_OK;
}

static size_t dbm_scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                                int64_t chains)
{
    const hm_machine *machine = model->machine;
    const hm_recognition *recognition = recognition_of(model);
    size_t network = recognition ? hm_recognition_bytes(recognition, rows) + states_bytes(machine, rows) : 0;
    size_t gradient = network + hm_machine_gradient_bytes(machine, how, shards, rows, chains);
    size_t monitor = inference_bytes(machine, rows) + hm_arena_bytes(2 * rows) + hm_side_bytes(machine, HM_EVEN, rows) +
                     hm_layer_bytes(machine, rows);
    return gradient > monitor ? gradient : monitor;
}

static const hm_monitor dbm_monitors[] = {
    {"reconstruction_error", NULL, "mean squared difference of v and p(v | q of the first layer), per visible unit"},
    {"free_energy", "nats",
     "variational free energy of the minibatch, after mean field as in training; its level has no meaning"},
    {"mean_field_residual", NULL, "largest change of a probability in the last mean-field update, mean over rows"},
    {"mean_field_updates", NULL, "mean-field updates made, mean over rows"},
    {NULL, NULL, NULL},
};

static hm_status reconstruct(const hm_model *model, hm_shard *shard, const hm_states *states)
{
    int64_t V = model->visible, rows = shard->data.rows;
    hm_states back = {0};
    HM_TRY(hm_side_alloc(model->machine, HM_EVEN, rows, shard->scratch, &back));
    hm_half_step down = {.side = HM_EVEN, .from = states, .prob = &back, .beta = 1};
    HM_TRY(hm_machine_half(model, model->machine, &down, shard->scratch));
    for (int64_t i = 0; i < rows * V; i++) back.at[0][i] -= states->at[0][i];
    shard->monitors[0] += hm_kernels_best()->dot(rows * V, back.at[0], back.at[0]) / (double)V;
    return HM_OK;
}

static hm_status dbm_monitor(const hm_model *model, hm_shard *shard)
{
    const hm_machine *machine = model->machine;
    int64_t rows = shard->data.rows;
    hm_mean_field_result result;
    hm_states states = {0};
    double *energy;
    HM_TRY(hm_arena_doubles(shard->scratch, rows, &energy));
    HM_TRY(states_alloc(machine, rows, shard->scratch, &states));
    hm_shard_visible(model, shard, states.at[0]);
    HM_TRY(infer(model, &settings_of(model)->mean_field, 0, &states, shard->scratch, &result));
    HM_TRY(hm_variational_free_energy(model, machine, &states, shard->scratch, energy));
    for (int64_t row = 0; row < rows; row++) shard->monitors[1] += energy[row];
    shard->monitors[2] += result.residual;
    shard->monitors[3] += (double)result.updates;
    return reconstruct(model, shard, &states);
}

/* ---- multi-prediction ------------------------------------------------------------------------------------------- */

static hm_status prediction_gradient(const hm_model *model, hm_shard *shard)
{
    return hm_multi_prediction_gradient(model, model->machine, settings_of(model)->mean_field.updates, shard);
}

static hm_status prediction_monitor(const hm_model *model, hm_shard *shard)
{
    return hm_multi_prediction_monitor(model, model->machine, settings_of(model)->mean_field.updates, shard);
}

static size_t prediction_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                               int64_t chains)
{
    (void)how, (void)shards, (void)chains;
    return hm_multi_prediction_bytes(model->machine, settings_of(model)->mean_field.updates, rows);
}

static hm_status prediction_check(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    HM_REQUIRE(model->machine->layer[0].unit == HM_BERNOULLI, HM_EUSAGE,
               "objective multi_prediction predicts binary units; the visible ones are %s",
               hm_unit_names[model->machine->layer[0].unit]);
    HM_REQUIRE(settings_of(model)->mean_field.updates <= HM_MULTI_PREDICTION_UPDATES_MAX, HM_EUSAGE,
               "objective multi_prediction keeps all mean-field updates: model.mean_field_updates may be at most %d",
               HM_MULTI_PREDICTION_UPDATES_MAX);
    HM_REQUIRE(!hm_has_label_layer(model->machine), HM_EUSAGE,
               "objective multi_prediction does not predict label units; leave model.label_units out");
    return HM_OK;
}

/* ---- layer-wise pre-training ------------------------------------------------------------------------------------ */

/* A layer that will have a neighbour on its other side too, other than labels, counts the input of the one it has
 * twice.
 */
static hm_machine pair_of(const hm_model *model, int l)
{
    int top = hm_hidden_layers(model->machine);
    return hm_machine_pair(model->machine, l, l + 1 < top ? 2.0f : 1.0f, l > 0 ? 2.0f : 1.0f);
}

static int pair_count(const hm_model *model) { return hm_hidden_layers(model->machine); }
static const hm_pairs dbm_pairs = {.count = pair_count, .at = pair_of};

/* ---- classification --------------------------------------------------------------------------------------------- */

static bool dbm_takes_reals(const void *settings)
{
    return ((const dbm_settings *)settings)->units.visible == HM_GAUSSIAN;
}

static int64_t dbm_group(const void *settings) { return hm_machine_group(&((const dbm_settings *)settings)->units); }

static int64_t dbm_classes(const void *settings) { return ((const dbm_settings *)settings)->deep.classes; }

static hm_status dbm_marginals(const hm_model *model, hm_matrix v, hm_arena *scratch, hm_states *states)
{
    return infer_from(model, &settings_of(model)->mean_field, v, states, scratch);
}

static size_t dbm_marginals_bytes(const hm_model *model, int64_t rows)
{
    return hm_mean_field_bytes(model->machine, rows);
}

static hm_status dbm_allocate(hm_model *model)
{
    HM_TRY(hm_machine_allocate(model));
    if (model->state) HM_TRY(hm_recognition_allocate(model->state));
    if (!model->classifier || hm_hidden_layers(model->machine) == 1) return HM_OK;
    model->classifier->marginals = dbm_marginals;
    model->classifier->marginals_bytes = dbm_marginals_bytes;
    return HM_OK;
}

static bool dbm_classifies(const hm_model *model)
{
    return hm_has_label_layer(model->machine) || hm_classifier_is_made(model);
}

/* By the network, where there is one; else by q of the label units. */
static bool has_network(const hm_model *model)
{
    return !hm_has_label_layer(model->machine) || hm_classifier_is_made(model);
}

static hm_status dbm_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    const hm_machine *machine = model->machine;
    hm_states states = {0};
    if (has_network(model)) return hm_classify(model, v, scratch, out);
    HM_TRY(states_alloc(machine, v.rows, scratch, &states));
    HM_TRY(infer_from(model, &converged, v, &states, scratch));
    memcpy(out, states.at[machine->layers - 1], (size_t)(v.rows * model->classes) * sizeof(float));
    return HM_OK;
}

static size_t dbm_classify_bytes(const hm_model *model, int64_t rows)
{
    return has_network(model) ? hm_classify_bytes(model, rows) : inference_bytes(model->machine, rows);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const hm_objective likelihood = {
    .name = "likelihood",
    .describe = "the variational bound of all layers together, by contrast of the data with the model",
    .reads = HM_READS_CHAINS HM_READS_REPLICAS HM_READS_FINISH,
    .monitors = dbm_monitors,
    .check = hm_likelihood_check,
    .begin = start_recognition,
    .learns = dbm_learns,
    .inference = &inference,
    .chains = &hm_likelihood_chains,
    .scratch_bytes = dbm_scratch_bytes,
    .gradient = dbm_gradient,
    .monitor = dbm_monitor,
    .finish = hm_likelihood_finish,
    .fault = hm_likelihood_fault,
};

static const hm_objective multi_prediction = {
    .name = "multi_prediction",
    .describe = "visible units from each other, through mean field (Goodfellow et al. 2013)",
    .reads = " missing ",
    .monitors = hm_multi_prediction_monitors,
    .check = prediction_check,
    .learns = hm_likelihood_learns,
    .scratch_bytes = prediction_bytes,
    .gradient = prediction_gradient,
    .monitor = prediction_monitor,
};

static const hm_objective *const dbm_objectives[] = {&likelihood, &hm_pretrain_objective, &multi_prediction,
                                                     &hm_classify_objective, NULL};

const hm_model_class hm_model_dbm = {
    .name = "dbm",
    .describe = "deep Boltzmann machine, binary units, any number of hidden layers",
    .settings = {"model", dbm_entries},
    .settings_size = sizeof(dbm_settings),
    .check = dbm_check,
    .takes_reals = dbm_takes_reals,
    .group = dbm_group,
    .classes = dbm_classes,
    .declare = dbm_declare,
    .allocate = dbm_allocate,
    .destroy = dbm_destroy,
    .init = dbm_init,
    .refresh = dbm_refresh,
    .objectives = dbm_objectives,
    .pairs = &dbm_pairs,
    .free_energy = dbm_free_energy,
    .classifies = dbm_classifies,
    .classify = dbm_classify,
    .classify_bytes = dbm_classify_bytes,
    .bound = "mean field",
    .annealing = &hm_machine_annealing,
    .enumeration = &hm_machine_enumeration,
    .base_biases = hm_machine_base_biases,
    .sampling_bytes = dbm_sampling_bytes,
    .gibbs = hm_machine_gibbs,
    .enter = dbm_enter,
};
