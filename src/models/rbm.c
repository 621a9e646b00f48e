/* The restricted Boltzmann machine (Smolensky 1986, "harmonium"; Hinton 2002), here written for binary units; others
 * are in boltzmann/units.h.
 *
 *   E(v, h) = -b'v - c'h - v'W h                                    v in {0,1}^V, h in {0,1}^H
 *   p(h_j = 1 | v) = sigmoid(c + v W)_j          p(v_i = 1 | h) = sigmoid(b + W h)_i
 *   F(v) = -b'v - sum_j softplus(c + v W)_j      p(v) = exp(-F(v)) / Z
 *
 * (Goodfellow, Bengio, Courville 2016, section 20.2.) This file is the template for a new family: its mathematics from
 * top to bottom, one shard at a time, and at the end the table through which the rest of the program calls it. What it
 * shares with deeper machines - conditionals, chains, gradients, annealing, enumeration - is in src/boltzmann.
 */
#include "boltzmann/chains.h"
#include "boltzmann/classifier.h"
#include "boltzmann/gradient.h"
#include "boltzmann/labels.h"
#include "boltzmann/sides.h"
#include "core/kernels.h"
#include "nets/class_loss.h"

#include <math.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct rbm_settings {
    int64_t hidden;
    double init_std;
    int64_t classes;
    hm_machine_units units;
} rbm_settings;

static const hm_setting rbm_entries[] = {
    {.key = "hidden",
     .type = HM_SET_INT,
     .offset = offsetof(rbm_settings, hidden),
     .min = 1,
     .max = 1e6,
     .describe = "hidden units"},
    {.key = "init_std",
     .type = HM_SET_REAL,
     .offset = offsetof(rbm_settings, init_std),
     .min = 0,
     .max = 10,
     .fallback = "0.01",
     .describe = "standard deviation of the initial weights (Hinton 2010, section 8)"},
    {.key = "classes",
     .type = HM_SET_INT,
     .offset = offsetof(rbm_settings, classes),
     .min = 0,
     .max = 100000,
     .fallback = "0",
     .describe = "classes of labels, for objective classify; 0: the data's labels are not read"},
    HM_MACHINE_UNITS(rbm_settings),
    {.key = "label_units",
     .type = HM_SET_BOOL,
     .offset = offsetof(rbm_settings, units.labels),
     .fallback = "false",
     .describe = "the classes are visible units too, one softmax group: p(v, label), and the discriminative RBM"},
    {.key = NULL},
};

/* Layer 0 is v, layer 1 is h. */
static int64_t hidden_units(const hm_model *model) { return model->machine->layer[1].units; }
static const float *visible_bias(const hm_model *model)
{
    return hm_model_tensor(model, model->machine->layer[0].bias);
}
static const float *hidden_bias(const hm_model *model) { return hm_model_tensor(model, model->machine->layer[1].bias); }

static hm_status rbm_check(const void *settings)
{
    const rbm_settings *rbm = settings;
    HM_REQUIRE(!rbm->units.labels || rbm->classes > 0, HM_EUSAGE,
               "label_units are those of classes: set model.classes");
    HM_REQUIRE(!rbm->units.labels || rbm->units.hidden == HM_BERNOULLI, HM_EUSAGE,
               "label_units: p(label | v) is that of bernoulli hidden units; set model.hidden_units so, or leave "
               "label_units out for a softmax on top");
    return HM_OK;
}

static hm_status rbm_declare(hm_model *model)
{
    const rbm_settings *settings = model->settings;
    return hm_machine_declare(model, &settings->units, 1, &settings->hidden);
}

static hm_status rbm_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    return hm_machine_init(model, seed, ((const rbm_settings *)model->settings)->init_std, base_rates);
}

/* ---- free energy ------------------------------------------------------------------------------------------------ */

static size_t rbm_sampling_bytes(const hm_model *model, int64_t rows)
{
    size_t gibbs = hm_machine_gibbs_bytes(model, rows), energy = hm_side_log_prob_bytes(model->machine, rows);
    size_t labels = model->label_units ? hm_labels_bytes(model->machine, rows) : 0;
    size_t most = gibbs > energy ? gibbs : energy;
    return most > labels ? most : labels;
}

/* With label units, those are summed out too. */
static hm_status rbm_free_energy(const hm_model *model, hm_matrix v, int64_t first_row, hm_arena *scratch, double out[])
{
    (void)first_row;
    hm_states states = {.rows = v.rows, .at = {v.at}};
    if (model->label_units)
        HM_TRY(hm_labels_probability(model, model->machine, v, scratch, out, NULL));
    else
        HM_TRY(hm_side_log_prob(model, model->machine, HM_EVEN, &states, scratch, out));
    for (int64_t row = 0; row < v.rows; row++) out[row] = -out[row];
    return HM_OK;
}

/* v, and labels that go with it: a sample of the model if v is one. */
static hm_status rbm_enter(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                           hm_arena *scratch, hm_matrix states)
{
    for (int64_t row = 0; row < v.rows; row++)
        memcpy(states.at + row * states.columns, v.at + row * v.columns, (size_t)model->visible * sizeof(float));
    return model->label_units ? hm_labels_draw(model, model->machine, states, stream, first_row, scratch) : HM_OK;
}

/* ---- the likelihood as an objective ----------------------------------------------------------------------------- */

/* v as it is, h = p(h | v). */
static hm_status positive(const hm_model *model, const hm_machine *machine, hm_shard *shard, const hm_states *states,
                          const void *context)
{
    (void)context;
    hm_half_step odd = {.side = HM_ODD, .from = states, .prob = states, .beta = 1};
    if (model->label_units) /* v and label, as they lie in the data */
        memcpy(states->at[0], shard->data.at, (size_t)(shard->data.rows * shard->data.columns) * sizeof(float));
    else
        hm_shard_visible(model, shard, states->at[0]);
    return hm_machine_half(model, machine, &odd, shard->scratch);
}

static hm_status rbm_gradient(const hm_model *model, hm_shard *shard)
{
    return hm_machine_gradient(model, model->machine, shard, positive, NULL);
}

static int64_t inferred_columns(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_machine_chained_columns(model->machine, how);
}

static size_t infer_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t rows)
{
    return hm_machine_infer_bytes(model->machine, how, rows);
}

static hm_status infer_rows(const hm_model *model, hm_shard *part)
{
    return hm_machine_infer(model, model->machine, part, positive, NULL);
}

static const hm_inference inference = {.columns = inferred_columns, .scratch_bytes = infer_bytes, .infer = infer_rows};

static size_t monitor_bytes(const hm_model *model, int64_t rows)
{
    return 2 * hm_side_bytes(model->machine, HM_EVEN, rows) + hm_side_bytes(model->machine, HM_ODD, rows) +
           hm_arena_bytes(hidden_units(model)) + hm_arena_bytes(2 * rows) +
           hm_side_log_prob_bytes(model->machine, rows);
}

static size_t rbm_scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                                int64_t chains)
{
    size_t gradient = hm_machine_gradient_bytes(model->machine, how, shards, rows, chains);
    size_t monitor = monitor_bytes(model, rows);
    return gradient > monitor ? gradient : monitor;
}

/* ---- monitors --------------------------------------------------------------------------------------------------- */

enum { PSEUDO_DRAWS = 16 }; /* units a row */

static const hm_monitor rbm_monitors[] = {
    {"reconstruction_error", NULL, "mean squared difference of v and p(v | h), h = p(h | v), per visible unit"},
    {"pseudo_log_likelihood", "nats",
     "mean of V log p(v_i | the other units) over 16 random units i of each row: a stochastic "
     "estimate of the log pseudo-likelihood; NaN unless all units are binary ones"},
    {"free_energy", "nats", "free energy of the minibatch; its level has no meaning, its drift has"},
    {NULL, NULL, NULL},
};

/* V log sigmoid(F(v with unit i flipped) - F(v)); x: (H) v W. */
static double pseudo_log_likelihood(const hm_model *model, const float *v, const float *x, int64_t i, float *flipped)
{
    const hm_kernels *kernels = hm_kernels_best();
    int64_t H = hidden_units(model);
    const float *W_i = hm_model_tensor(model, model->machine->weights[0]) + i * H, *c = hidden_bias(model);
    float change = 1.0f - 2.0f * v[i];
    memcpy(flipped, x, (size_t)H * sizeof(float));
    kernels->add_columns(1, H, W_i, change, flipped);
    double gain = -(double)change * (double)visible_bias(model)[i] - kernels->sum_softplus(H, flipped, 1.0f, c) +
                  kernels->sum_softplus(H, x, 1.0f, c); /* F(flipped) - F(v) */
    double log_sigmoid = gain > 0 ? -log1p(exp(-gain)) : gain - log1p(exp(gain));
    return (double)model->visible * log_sigmoid;
}

/* Of binary units only: that of one row, from x = v W. */
static hm_status add_pseudo_log_likelihood(const hm_model *model, hm_shard *shard, const hm_states *states)
{
    hm_stream units = {shard->seed, HM_RNG_PSEUDO, shard->step};
    int64_t V = model->visible, H = hidden_units(model);
    float *flipped;
    HM_TRY(hm_arena_floats(shard->scratch, H, &flipped));
    hm_product(hm_layer_of(model->machine, states, 0), &model->machine->up[0], states->at[1]);
    for (int64_t row = 0; row < states->rows; row++)
        for (int64_t draw = 0; draw < PSEUDO_DRAWS; draw++) {
            int64_t unit = (int64_t)hm_random_below(&units, shard->first_row + row, draw, (uint64_t)V);
            shard->monitors[1] +=
                pseudo_log_likelihood(model, states->at[0] + row * V, states->at[1] + row * H, unit, flipped) /
                PSEUDO_DRAWS;
        }
    return HM_OK;
}

static hm_status rbm_monitor(const hm_model *model, hm_shard *shard)
{
    const hm_machine *machine = model->machine;
    int64_t V = machine->layer[0].units, rows = shard->data.rows;
    hm_states states = {0}, back = {0};
    double *log_prob;
    HM_TRY(hm_side_alloc(machine, HM_EVEN, rows, shard->scratch, &states));
    HM_TRY(hm_side_alloc(machine, HM_ODD, rows, shard->scratch, &states));
    HM_TRY(hm_side_alloc(machine, HM_EVEN, rows, shard->scratch, &back));
    HM_TRY(hm_arena_doubles(shard->scratch, rows, &log_prob));
    HM_TRY(positive(model, machine, shard, &states, NULL));
    hm_half_step down = {.side = HM_EVEN, .from = &states, .prob = &back, .beta = 1};
    HM_TRY(hm_machine_half(model, machine, &down, shard->scratch));
    HM_TRY(hm_side_log_prob(model, machine, HM_EVEN, &states, shard->scratch, log_prob));
    for (int64_t row = 0; row < rows; row++) {
        float *difference = back.at[0] + row * V;
        for (int64_t i = 0; i < V; i++) difference[i] -= states.at[0][row * V + i];
        shard->monitors[0] += hm_kernels_best()->dot(V, difference, difference) / (double)V;
        shard->monitors[2] -= log_prob[row];
    }
    bool binary = hm_side_enumerable(machine, HM_EVEN) < INT64_MAX && machine->layer[1].unit == HM_BERNOULLI;
    if (binary) return add_pseudo_log_likelihood(model, shard, &states);
    shard->monitors[1] = (double)NAN;
    return HM_OK;
}

/* ---- classification --------------------------------------------------------------------------------------------- */

static bool rbm_takes_reals(const void *settings)
{
    return ((const rbm_settings *)settings)->units.visible == HM_GAUSSIAN;
}

static int64_t rbm_group(const void *settings) { return hm_machine_group(&((const rbm_settings *)settings)->units); }

static int64_t rbm_classes(const void *settings) { return ((const rbm_settings *)settings)->classes; }

/* ---- the discriminative and the hybrid RBM ---------------------------------------------------------------------- */

static hm_status labels_check(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    HM_REQUIRE(model->label_units, HM_EUSAGE, "this objective needs label units: set model.label_units: true");
    return HM_OK;
}

static hm_status hybrid_check(const hm_model *model, const hm_contrast_settings *how)
{
    HM_TRY(labels_check(model, how));
    return hm_likelihood_check(model, how);
}

static size_t discriminative_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                                   int64_t chains)
{
    (void)how, (void)shards, (void)chains;
    return hm_labels_gradient_bytes(model->machine, rows, 0) + hm_arena_bytes(rows * model->classes);
}

static hm_status discriminative_gradient(const hm_model *model, hm_shard *shard)
{
    shard->outer[model->machine->weights[0]] = (hm_outer){0};
    return hm_labels_gradient(model, model->machine, shard);
}

static void discriminative_finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch,
                                  float *grad)
{
    (void)how, (void)adversary, (void)batch;
    hm_machine_finish_variance(model, model->machine, grad);
}

static void scale_sums(const hm_model *model, hm_shard *shard, int tensor, double weight)
{
    float *sums = hm_shard_direct(shard, &model->layout, tensor);
    int64_t size = hm_tensor_size(&model->layout.tensors[tensor]);
    for (int64_t i = 0; i < size; i++) sums[i] *= (float)weight;
}

/* log p(y | v) + generative_weight log p(v, y) (Larochelle & Bengio 2008, eq. 8). */
static hm_status hybrid_gradient(const hm_model *model, hm_shard *shard)
{
    double weight = shard->how->generative_weight;
    hm_outer *outer = &shard->outer[model->machine->weights[0]];
    HM_TRY(rbm_gradient(model, shard));
    for (int64_t i = 0; i < outer->b.rows * outer->b.columns; i++) outer->b.at[i] *= (float)weight;
    const hm_layer *visible = &model->machine->layer[0], *hidden = &model->machine->layer[1];
    scale_sums(model, shard, visible->bias, weight);
    scale_sums(model, shard, hidden->bias, weight);
    if (visible->log_variance >= 0) scale_sums(model, shard, visible->log_variance, weight);
    return hm_labels_gradient(model, model->machine, shard);
}

static size_t hybrid_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                           int64_t chains)
{
    int64_t there = rows + (rows > chains ? rows : chains);
    return rbm_scratch_bytes(model, how, shards, rows, chains) + hm_labels_gradient_bytes(model->machine, rows, there) +
           hm_arena_bytes(rows * model->classes);
}

static hm_status labels_monitor(const hm_model *model, hm_shard *shard)
{
    return hm_labels_monitor(model, model->machine, shard, shard->monitors);
}

/* The two phases are centred by weights that the discriminative part does not share: only running means move. */
static void hybrid_finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)adversary;
    hm_contrast_settings plain = *how;
    plain.centered = false;
    hm_machine_finish(model, model->machine, &plain, batch, grad);
}

static bool rbm_classifies(const hm_model *model) { return model->label_units || hm_classifier_is_made(model); }

static hm_status rbm_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    return model->label_units ? hm_labels_probability(model, model->machine, v, scratch, NULL, out)
                              : hm_classify(model, v, scratch, out);
}

static size_t rbm_classify_bytes(const hm_model *model, int64_t rows)
{
    return model->label_units ? hm_labels_bytes(model->machine, rows) : hm_classify_bytes(model, rows);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const hm_objective likelihood = {
    .name = "likelihood",
    .describe = "maximum likelihood, by contrast of the data with the model",
    .reads = HM_READS_CHAINS HM_READS_REPLICAS HM_READS_FINISH,
    .monitors = rbm_monitors,
    .check = hm_likelihood_check,
    .learns = hm_likelihood_learns,
    .inference = &inference,
    .chains = &hm_likelihood_chains,
    .scratch_bytes = rbm_scratch_bytes,
    .gradient = rbm_gradient,
    .monitor = rbm_monitor,
    .finish = hm_likelihood_finish,
    .fault = hm_likelihood_fault,
};

static const hm_objective discriminative = {
    .name = "discriminative",
    .describe = "log p(label | v) of an RBM with label units (Larochelle & Bengio 2008)",
    .reads = " dropout dropout_visible ",
    .monitors = hm_class_monitors,
    .check = labels_check,
    .learns = hm_likelihood_learns,
    .scratch_bytes = discriminative_bytes,
    .gradient = discriminative_gradient,
    .monitor = labels_monitor,
    .finish = discriminative_finish,
};

static const hm_objective hybrid = {
    .name = "hybrid",
    .describe = "log p(label | v) + generative_weight log p(v, label) (Larochelle & Bengio 2008)",
    .reads = " dropout dropout_visible generative_weight " HM_READS_CHAINS HM_READS_SPARSITY,
    .monitors = hm_class_monitors,
    .check = hybrid_check,
    .learns = hm_likelihood_learns,
    .inference = &inference,
    .chains = &hm_likelihood_chains,
    .scratch_bytes = hybrid_bytes,
    .gradient = hybrid_gradient,
    .monitor = labels_monitor,
    .finish = hybrid_finish,
    .fault = hm_likelihood_fault,
};

static const hm_objective *const rbm_objectives[] = {&likelihood, &discriminative, &hybrid, &hm_classify_objective,
                                                     NULL};

const hm_model_class hm_model_rbm = {
    .name = "rbm",
    .describe =
        "restricted Boltzmann machine: binary, Gaussian or softmax visible units, binary or rectified hidden ones",
    .settings = {"model", rbm_entries},
    .settings_size = sizeof(rbm_settings),
    .check = rbm_check,
    .takes_reals = rbm_takes_reals,
    .group = rbm_group,
    .classes = rbm_classes,
    .declare = rbm_declare,
    .allocate = hm_machine_allocate,
    .destroy = hm_machine_free,
    .init = rbm_init,
    .refresh = hm_machine_refresh,
    .objectives = rbm_objectives,
    .free_energy = rbm_free_energy,
    .classifies = rbm_classifies,
    .classify = rbm_classify,
    .classify_bytes = rbm_classify_bytes,
    .annealing = &hm_machine_annealing,
    .enumeration = &hm_machine_enumeration,
    .base_biases = hm_machine_base_biases,
    .sampling_bytes = rbm_sampling_bytes,
    .gibbs = hm_machine_gibbs,
    .enter = rbm_enter,
};
