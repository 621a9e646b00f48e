/* A model family: one file in this folder, one table of functions, one line in models.def.
 *
 * The table (hm_model_class) says what the family's parameters are, what it can be trained for (hm_objective) and how
 * one shard's gradient is computed; the loop (train/contrast.c) does the rest: minibatches, chains, reductions,
 * optimiser, files. A family is shard-local: it never knows ranks, files or the optimiser. rbm.c is the annotated
 * example to copy.
 */
#ifndef HM_MODEL_H
#define HM_MODEL_H

#include "core/matrix.h"
#include "core/memory.h"
#include "core/pack.h"
#include "core/rng.h"
#include "core/settings.h"
#include "core/team.h"

typedef struct hm_model hm_model;
typedef struct hm_model_class hm_model_class;
typedef struct hm_objective hm_objective;
typedef struct hm_machine hm_machine;       /* boltzmann/machine.h */
typedef struct hm_classifier hm_classifier; /* boltzmann/classifier.h */
typedef struct hm_stack hm_stack;           /* boltzmann/stack.h */
typedef struct hm_pairs hm_pairs;           /* boltzmann/pretrain.h */

/* How the negative phase of contrastive training is estimated. */
typedef enum hm_estimator { HM_EXACT, HM_CD, HM_PCD } hm_estimator;

/* The divergence of q(h | v) from the prior: in closed form, or from the draws. */
typedef enum hm_kl { HM_KL_ANALYTIC, HM_KL_SAMPLED } hm_kl;

/* Gradients of bounds with respect to q: all of them; the path through the draws alone (sticking the landing: Roeder,
 * Wu, Duvenaud 2017); that path, weighted doubly (DReG: Tucker et al. 2019). */
typedef enum hm_path { HM_PATH_FULL, HM_PATH_STICKING, HM_PATH_DOUBLY } hm_path;

/* How persistent chains move. */
typedef enum hm_sampler { HM_GIBBS, HM_PARALLEL_TEMPERING } hm_sampler;

/* What the contrast loop asks of a family (section "train"; the table is in train/contrast.c). */
typedef struct hm_contrast_settings {
    int estimator;          /* hm_estimator: exact, cd, pcd */
    int64_t layer;          /* of objectives that train one layer at a time: which, from 1 */
    int64_t k;              /* Gibbs steps an update (cd, pcd) */
    int64_t chains;         /* persistent chains over all shards (pcd); 0: as many as the batch */
    int sampler;            /* hm_sampler, of persistent chains */
    int64_t temperatures;   /* parallel tempering: replicas of each chain */
    double swap_adaptation; /* ... how fast the temperatures follow the swaps; 0: never */
    bool centered;          /* subtract running means from v and h (Melchior, Fischer, Wiskott 2016) */
    double offset_rate;     /* of the running means, in (0, 1] */
    double sparsity_target; /* wanted mean of each hidden unit; used when sparsity_cost > 0 */
    double sparsity_cost;
    double dropout, dropout_visible; /* of log p(label | v): share of units that an update leaves out */
    double generative_weight;        /* hybrid: of log p(v, label) beside log p(label | v) */
    double missing;                  /* multi-prediction: share of the visible units that are predicted */
    int64_t samples;                 /* VAE: draws of the latent variables for each row */
    int kl;                          /* ... hm_kl: how the divergence from the prior is had */
    double kl_warmup;                /* ... epochs in which its weight grows from 0 to 1 */
    int64_t adversary_steps;         /* GAN: updates of the discriminator for each of the generator */
    double gradient_penalty;         /* ... wasserstein: weight of (|gradient of the critic| - 1)^2 */
    int path;                        /* VAE: hm_path: what of log q(h | v) is differentiated */
} hm_contrast_settings;

struct hm_model {
    const hm_model_class *class;
    void *settings;            /* class->settings_size bytes, the family's own; owned */
    hm_layout layout;          /* filled by class->declare */
    float *params;             /* the pack; owned */
    int64_t visible;           /* units of the data */
    int64_t classes;           /* of labels, which follow the visible units in a row of training data; 0: none */
    bool label_units;          /* the classes are units of the model, one softmax group: p(v, label) */
    uint64_t seed;             /* of initial parameters; kept from init */
    const hm_team *team;       /* borrowed */
    hm_classifier *classifier; /* the network with a softmax over classes; NULL without */
    hm_machine *machine;       /* layers and packed weights of a Boltzmann machine; NULL in other families */
    hm_stack *stack;           /* the RBMs of a stack with directed layers; NULL in other families */
    void *state;               /* what else the family needs; owned through class->destroy */
};

/* One number that a family reports while training, summed over rows and divided by their number. */
typedef struct hm_monitor {
    const char *name, *unit, *description; /* unit: NULL when it has none */
} hm_monitor;
enum { HM_MONITORS_MAX = 16 };

/* One shard's rows whose outer products are the gradient of a tensor: see hm_kernels.outer_strip. */
typedef struct hm_outer {
    hm_matrix a, b;
} hm_outer;

/* What one shard works on in one update. Buffers belong to the loop and stay valid until the update's end.
 *
 * A part (train/parts.h) is one too, of the rows and chains of a thread. It has seed, step and adversary, data to
 * first_row, chains to all_chains, objective, how and scratch; all else is 0. */
typedef struct hm_shard {
    int index, shards;
    uint64_t seed;
    uint64_t step;       /* number of the update, from 0 */
    double epoch;        /* epochs done, fractions counted */
    bool adversary;      /* this turn is the adversary's (hm_objective.adversary_has) */
    int stretch;         /* of `gradient`, from 0; scratch and direct are kept between them */
    double *exchange;    /* this shard's sums at a stretch's end; at the next one's beginning those of all shards */
    void *work;          /* the objective's, in scratch */
    hm_matrix data;      /* (rows, visible + classes): this shard's part of the minibatch */
    hm_matrix inferred;  /* (rows, columns): what the objective's `inference` found of it; NULL: nothing */
    int64_t first_row;   /* its first row's place in the minibatch */
    int64_t batch;       /* rows of the whole minibatch */
    hm_matrix chains;    /* (chains, columns): this shard's persistent chains; before `gradient` they have moved, and */
    hm_matrix samples;   /* ... left their last states (chains, sample_columns) here */
    hm_matrix expected;  /* ... and here the means of what they drew last, (chains, columns); NULL: not made */
    int64_t first_chain; /* its first chain's number among all */
    int64_t all_chains;
    const hm_objective *objective;
    const hm_contrast_settings *how;
    double log_z;         /* of the current parameters; only with HM_EXACT */
    hm_arena *scratch;    /* reset before each update */
    hm_outer *outer;      /* by tensor: the rows whose products are its gradient; set by `gradient` */
    float *direct;        /* gradient sums of the other tensors, zeroed before `gradient`; see hm_shard_direct */
    int64_t direct_begin; /* place in the pack of direct[0] */
    double *monitors;     /* sums over rows, in the order of class->monitors; zeroed before `monitor` */
} hm_shard;

/* The visible units of the minibatch, (rows, visible), without labels. */
void hm_shard_visible(const hm_model *model, const hm_shard *shard, float *out);

/* Its labels, (rows, classes). */
void hm_shard_labels(const hm_model *model, const hm_shard *shard, float *out);

/* Where `gradient` adds up a tensor that is not given as products. */
static inline float *hm_shard_direct(const hm_shard *shard, const hm_layout *layout, int tensor)
{
    return shard->direct + (layout->tensors[tensor].offset - shard->direct_begin);
}

/* The path p_beta from a base distribution (beta = 0: independent units with the given biases) to the model
 * (beta = 1), for AIS. A walk is the state of one shard's annealing chains. */
typedef struct hm_walk {
    uint64_t seed;
    hm_matrix state;     /* (chains, state_columns), 0 or 1; the visible units come first */
    hm_matrix inputs;    /* (chains, input_columns) what the family caches of them (an RBM: v W + c) */
    double *energy;      /* (chains) what else it caches (an RBM: b'v) */
    double *base_energy; /* (chains) base'state */
    int64_t first_chain;
    const float *base; /* (state_columns) biases of the base distribution, nats */
    hm_arena *scratch; /* reset before each call of `move` or `refresh` */
} hm_walk;

typedef struct hm_annealing {
    /* HM_EUSAGE when this model of the family has no such path. */
    hm_status (*check)(const hm_model *model);
    /* Units of a state: those that are not summed out. */
    int64_t (*state_columns)(const hm_model *model);
    int64_t (*input_columns)(const hm_model *model);
    size_t (*scratch_bytes)(const hm_model *model, int64_t chains);
    /* log Z of the base distribution, nats, counting the hidden units that it leaves free. */
    double (*log_z_base)(const hm_model *model, const float base[]);
    /* Independent draws of the base distribution: states (chains, state_columns), random numbers of (stream,
     * first_chain
     * + row), stream->step times the layers of a state. */
    void (*draw_base)(const hm_model *model, const float base[], const hm_stream *stream, int64_t first_chain,
                      hm_matrix states);
    /* Fills the caches from walk->state. */
    hm_status (*refresh)(const hm_model *model, hm_walk *walk);
    /* out[chain] = log p*_beta(state) from the caches, nats; p*_beta is not normalised. */
    void (*log_prob)(const hm_model *model, const hm_walk *walk, double beta, double out[]);
    /* A Gibbs sweep that leaves p_beta unchanged, with random numbers of (purposes hidden / visible, step); refreshes
     * the caches. */
    hm_status (*move)(const hm_model *model, hm_walk *walk, double beta, hm_purpose hidden, hm_purpose visible,
                      uint64_t step);
} hm_annealing;

/* Steps of Gibbs sampling, and what of the last one is wanted. Random numbers of (seed, HM_RNG_SAMPLE_*, first + i), by
 * row. */
typedef struct hm_gibbs_steps {
    uint64_t seed, first;
    int64_t count;     /* at least 1 */
    int64_t first_row; /* number of the first state among all */
    bool clamped;      /* label units are not drawn, but kept at `labels`: samples of p(v | label) */
    int32_t *labels;   /* (rows) the class that each state's label units tell; NULL: not wanted */
    float *prob;       /* (rows, visible) visible probabilities of the last step; NULL: not wanted */
} hm_gibbs_steps;

/* Latent variables from which the data are made and, in some families, that are inferred by a net q(h | v). Functions
 * are thread-safe. */
typedef struct hm_latent {
    /* Units of all latent layers, lowest first, and of the top one. */
    int64_t (*units)(const hm_model *model);
    int64_t (*top_units)(const hm_model *model);
    /* A draw of the prior of the top layer, random numbers of (stream, row). NULL: a standard normal. */
    void (*draw)(const hm_model *model, const hm_stream *stream, int64_t row, float *top);
    /* The u-quantile of one of its units, u in (0, 1). NULL: of a standard normal. */
    double (*quantile)(const hm_model *model, double u);
    size_t (*scratch_bytes)(const hm_model *model, int64_t rows, int64_t samples);
    /* NULL, as `encode`, in families that do not infer. log p(v, h) - log q(h | v), nats, for `samples` draws of h for
     * each row of v: log_weights (rows, samples), and log p(v | h) of the same draws into likelihood, if not NULL.
     * Random numbers of (stream, (first_row + row) samples
     * + sample). */
    hm_status (*log_weights)(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                             int64_t samples, hm_arena *scratch, double log_weights[], double likelihood[]);
    /* Mean and variance of q(h | v), (rows, units); of upper layers, given the means of those below. Either may be
     * NULL.
     */
    hm_status (*encode)(const hm_model *model, hm_matrix v, hm_arena *scratch, float *mean, float *variance);
    /* Visible units from the top layer (rows, top_units): layers between are drawn with (stream, first_row + row), or
     * are their means when stream is NULL. mean (rows, visible), and a draw of it into sample, if not NULL. */
    hm_status (*decode)(const hm_model *model, hm_matrix top, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch, float *sample, float *mean);
} hm_latent;

/* Enumeration of the smaller layer, for exact log Z. */
typedef struct hm_enumeration {
    /* Units of the enumerated layer: 2^units configurations. */
    int64_t (*units)(const hm_model *model);
    size_t (*scratch_bytes)(const hm_model *model, int64_t count);
    /* out[i] = log of the unnormalised probability of configuration begin + i (bit u of it is unit u), the other layer
     * summed out; i < count. Thread-safe. */
    hm_status (*log_prob)(const hm_model *model, int64_t begin, int64_t count, hm_arena *scratch, double out[]);
} hm_enumeration;

/* A gradient may come in stretches, between which shards exchange sums. */
typedef struct hm_stretches {
    int count;
    int64_t exchange; /* numbers, at most */
} hm_stretches;

/* The states that rows of data entail, found before `gradient` of all rows of a thread together: for objectives where
 * that takes many products. In parts; each row as if it were alone. */
typedef struct hm_inference {
    /* Of what is found of a row; 0: with these settings nothing, and `gradient` finds what it needs. */
    int64_t (*columns)(const hm_model *model, const hm_contrast_settings *how);
    size_t (*scratch_bytes)(const hm_model *model, const hm_contrast_settings *how, int64_t rows);
    /* From part->data into part->inferred. */
    hm_status (*infer)(const hm_model *model, hm_shard *part);
} hm_inference;

/* Persistent chains of a negative phase. They are started and moved in parts; random numbers by first_chain + row. */
typedef struct hm_chain_functions {
    int64_t (*columns)(const hm_model *model, const hm_contrast_settings *how);        /* of a chain */
    int64_t (*sample_columns)(const hm_model *model, const hm_contrast_settings *how); /* of the states it leaves */
    size_t (*scratch_bytes)(const hm_model *model, const hm_contrast_settings *how, int64_t chains);
    hm_status (*start)(const hm_model *model, hm_shard *part);
    /* how->k Gibbs steps of part->chains, in place; fills part->samples and part->expected. */
    hm_status (*move)(const hm_model *model, hm_shard *part);
} hm_chain_functions;

/* What a stage of training climbs. `how` is the stage's. */
struct hm_objective {
    const char *name, *describe;
    int kind;                   /* the family's own number of it */
    const char *reads;          /* the keys of hm_contrast_settings that count, between spaces */
    const hm_monitor *monitors; /* ends with .name = NULL; the first one is shown as the objective */
    /* HM_EUSAGE when the model cannot be trained so. May be NULL. */
    hm_status (*check)(const hm_model *model, const hm_contrast_settings *how);
    /* Before the first update of the stage. May be NULL. */
    hm_status (*begin)(hm_model *model, const hm_contrast_settings *how);
    /* Does the objective depend on this tensor? The others stay as they are. NULL: on all. */
    bool (*learns)(const hm_model *model, const hm_contrast_settings *how, int tensor);
    /* Of two players: does the adversary own this tensor? An update is how->adversary_steps turns of the adversary,
     * each on rows of its own, then one of the other player, and each has an optimiser. NULL: one player. */
    bool (*adversary_has)(const hm_model *model, int tensor);
    const hm_inference *inference;    /* NULL: `gradient` finds what it needs */
    const hm_chain_functions *chains; /* NULL: the objective has no negative phase */
    /* Scratch of a shard with at most so many rows and chains, for each of the functions below. */
    size_t (*scratch_bytes)(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains);
    /* NULL: `gradient` comes in one stretch. */
    hm_stretches (*stretches)(const hm_model *model, const hm_objective *objective, bool adversary);
    /* One shard's gradient, as sums over the minibatch's rows (the negative phase weighted by batch / chains): rows of
     * outer products in shard->outer, everything else in shard->direct. Running tensors receive the
     * batch's sums. */
    hm_status (*gradient)(const hm_model *model, hm_shard *shard);
    /* Sums of the monitors over this shard's rows. */
    hm_status (*monitor)(const hm_model *model, hm_shard *shard);
    /* Once an update, with the sums over all shards: turns `grad` into the direction of ascent (centring, sparsity) and
     * moves the running tensors. The same on every rank. May be NULL. */
    void (*finish)(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad);
    /* After a player's step, of two: as the family's `refresh`, of that player's parameters alone. May be NULL. */
    void (*refresh)(hm_model *model, bool adversary);
    /* At every row of metrics: what shows that training has diverged though all numbers are finite ("all units of layer
     * 2 are dead"), in a static buffer of the thread, or NULL. May be NULL. */
    const char *(*fault)(const hm_model *model, const hm_contrast_settings *how);
};

/* Does the objective read this setting of hm_contrast_settings? */
bool hm_objective_reads(const hm_objective *objective, const char *key);

struct hm_model_class {
    const char *name, *describe;

    /* The family's part of the configuration (section "model"). */
    hm_settings_table settings;
    size_t settings_size;
    /* What the table cannot say; HM_EUSAGE with a message that names the key. May be NULL. */
    hm_status (*check)(const void *settings);
    /* May its visible units be any real number? NULL: they lie in [0, 1]. */
    bool (*takes_reals)(const void *settings);
    /* Columns of a group of visible units of which one is 1; 0: they are not in groups, -1: all are one. NULL: 0. */
    int64_t (*group)(const void *settings);
    /* Classes of labels that it learns from; NULL: none ever. */
    int64_t (*classes)(const void *settings);

    /* Declares the tensors in model->layout and makes model->machine and state, small whatever the settings say: they
     * may come from a file that nobody vouches for. model->visible and settings are set. */
    hm_status (*declare)(hm_model *model);
    /* The working memory of the state. May be NULL. */
    hm_status (*allocate)(hm_model *model);
    void (*destroy)(hm_model *model);
    /* Initial parameters. base_rates: (visible + classes) mean of each visible unit over the training data, smoothed to
     * lie inside (0, 1), and of each label. */
    hm_status (*init)(hm_model *model, uint64_t seed, const float base_rates[]);
    /* To be called after the parameters changed and before any function below: packs the weights. */
    void (*refresh)(hm_model *model);

    /* What it can be trained for; ends with NULL. The first one is what a stage has that names none. */
    const hm_objective *const *objectives;
    /* How layer-wise training takes it apart (boltzmann/pretrain.h); NULL in families without. */
    const hm_pairs *pairs;

    /* -- likelihood and samples, of families with an energy -- */
    /* out[row] = -log p*(v), nats, or, for a family whose `bound` says so, a number above it. v: (rows, visible), of
     * which the first is row first_row of the data: a bound that is drawn has draws of its own for each row.
     * Thread-safe. */
    hm_status (*free_energy)(const hm_model *model, hm_matrix v, int64_t first_row, hm_arena *scratch, double out[]);
    const char *bound; /* NULL: it is exact; else what makes it a bound: "mean field" */
    /* Has this model learnt to tell classes? NULL: its family knows none. */
    bool (*classifies)(const hm_model *model);
    /* out (rows, classes) = p(y | v). Thread-safe. */
    hm_status (*classify)(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out);
    size_t (*classify_bytes)(const hm_model *model, int64_t rows);
    /* What the softmax over classes is made of, (rows, feature_units); scratch of classify_bytes. NULL: not told. */
    int64_t (*feature_units)(const hm_model *model);
    hm_status (*features)(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out);
    const hm_latent *latent;
    const hm_annealing *annealing;
    const hm_enumeration *enumeration;
    /* (state_columns) the biases of the data's base rates, which the model carries since `init`; 0 of hidden units. */
    const float *(*base_biases)(const hm_model *model);
    size_t (*sampling_bytes)(const hm_model *model, int64_t rows); /* scratch of gibbs, free_energy, enter and show */
    /* Gibbs steps on states (rows, state_columns) in place. */
    hm_status (*gibbs)(const hm_model *model, const hm_gibbs_steps *steps, hm_matrix state, hm_arena *scratch);
    /* States from rows of data (rows, visible), random numbers of (stream, first_row + row). And visible units from
     * states, a draw of (stream, ...) into sample and what it was drawn from into mean, (rows, visible); NULL: states
     * begin with them. */
    hm_status (*enter)(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                       hm_arena *scratch, hm_matrix states);
    hm_status (*show)(const hm_model *model, hm_matrix states, const hm_stream *stream, int64_t first_row,
                      hm_arena *scratch, float *sample, float *mean);
};

/* The families, from models.def; ends with NULL. */
extern const hm_model_class *const hm_model_classes[];
const hm_model_class *hm_model_find(const char *name);

/* A model of a family with the given settings (copied by the family's table; texts stay the caller's), in two steps:
 * after the first its layout is known, the second makes room for the parameters (zero) and all else. HM_EUSAGE /
 * HM_EINTERNAL. Free with hm_model_free, also after a failure of the second. Not collective. */
hm_status hm_model_declare(const hm_model_class *class, const void *settings, int64_t visible, const hm_team *team,
                           hm_model **out);
hm_status hm_model_allocate(hm_model *model);

/* Both steps. */
hm_status hm_model_create(const hm_model_class *class, const void *settings, int64_t visible, const hm_team *team,
                          hm_model **out);
void hm_model_free(hm_model *model);

/* The objective called so, or the first one when `name` is "default"; NULL when there is none. */
const hm_objective *hm_objective_find(const hm_model_class *class, const char *name);

/* Units of a state that Gibbs sampling and annealing move: the visible ones, and hidden ones that are not summed out.
 */
int64_t hm_state_columns(const hm_model *model);

/* Has this model an annealing path? */
bool hm_model_anneals(const hm_model *model);

/* HM_EINTERNAL, naming the function, when a table lacks what the loop needs. */
hm_status hm_model_class_check(const hm_model_class *class);

#endif
