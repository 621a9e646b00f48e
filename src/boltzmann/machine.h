/* A Boltzmann machine of layers, with connections between neighbouring layers only:
 *
 *   E(x_0 .. x_L) = - sum_l b_l'x_l - sum_l x_l' W_l x_{l+1}
 *
 * x_0 is the visible layer; the highest one may be the classes of labels, a softmax group that training sees too. With
 * one hidden layer this is the RBM, with more the deep Boltzmann machine (Salakhutdinov & Hinton 2009). Given the even
 * layers the odd ones are independent, and the other way round: two sides, as an RBM has them. What is made of the two
 * sides is written once, here and in this folder (gradients, annealing, enumeration), and a family (src/models) adds
 * what is its own: tensors, settings, the positive phase.
 */
#ifndef HM_MACHINE_H
#define HM_MACHINE_H

#include "boltzmann/units.h"
#include "core/product.h"
#include "models/model.h"

enum { HM_LAYERS_MAX = 8 };

typedef enum hm_side { HM_EVEN, HM_ODD } hm_side;

struct hm_machine {
    int layers; /* L + 1 */
    hm_layer layer[HM_LAYERS_MAX];
    int weights[HM_LAYERS_MAX];    /* tensors: W_l, (units of layer l, units of layer l + 1) */
    hm_packed up[HM_LAYERS_MAX];   /* W_l, packed: x_l W_l; rows over the variance of Gaussian units */
    hm_packed down[HM_LAYERS_MAX]; /* W_l transposed: x_{l+1} W_l' */
    float up_scale, down_scale;    /* of inputs through the weights; 1, except in a pair (hm_machine_pair) */
    int base_rate;                 /* tensor: smoothed means of layer 0 over the training data */
    float *base_bias; /* (units of the even side) parameters of units with those means; of layers above 0 */
    float *variance;  /* (units of layer 0) exp(log_variance) where that is learnt, else NULL */
    float *scaled;    /* (W_0) scratch: rows over the variance */
};

/* What the layers are made of; zeros: Bernoulli units. */
typedef struct hm_machine_units {
    int visible, hidden;  /* hm_unit; settings */
    int64_t group;        /* softmax: visible units of a group */
    bool learns_variance; /* Gaussian */
    bool labels;          /* units of layer 0 for the classes, behind the others ... */
    bool label_layer;     /* ... or a layer of their own, above the hidden ones */
} hm_machine_units;

/* Settings of the visible units, for a family's table: keys visible_units, visible_group and learn_variance. STRUCT has
 * a member `units` of type hm_machine_units. */
#define HM_VISIBLE_UNITS(STRUCT)                                                                                       \
    {.key = "visible_units",                                                                                           \
     .type = HM_SET_CHOICE,                                                                                            \
     .offset = offsetof(STRUCT, units.visible),                                                                        \
     .choices = hm_visible_unit_names,                                                                                 \
     .fallback = "bernoulli",                                                                                          \
     .describe = "kind of the visible units"},                                                                         \
        {.key = "visible_group",                                                                                       \
         .type = HM_SET_INT,                                                                                           \
         .offset = offsetof(STRUCT, units.group),                                                                      \
         .min = 0,                                                                                                     \
         .max = 1e6,                                                                                                   \
         .fallback = "0",                                                                                              \
         .describe = "softmax units: how many of them are one group, of which one is on; 0: all"},                     \
    {                                                                                                                  \
        .key = "learn_variance", .type = HM_SET_BOOL, .offset = offsetof(STRUCT, units.learns_variance),               \
        .fallback = "false",                                                                                           \
        .describe = "Gaussian units: a variance of each, learnt (Cho, Ilin, Raiko 2011); false: 1"                     \
    }

/* Those, and hidden_units. */
#define HM_MACHINE_UNITS(STRUCT)                                                                                       \
    HM_VISIBLE_UNITS(STRUCT),                                                                                          \
    {                                                                                                                  \
        .key = "hidden_units", .type = HM_SET_CHOICE, .offset = offsetof(STRUCT, units.hidden),                        \
        .choices = hm_hidden_unit_names, .fallback = "bernoulli",                                                      \
        .describe = "kind of the hidden units; rectified: noisy rectified linear (Nair & Hinton 2010)"                 \
    }
extern const char *const hm_visible_unit_names[], *const hm_hidden_unit_names[];

/* Kind and groups of the visible layer, from the settings, and the tensor of its variances, if they are learnt.
 * HM_EUSAGE for kinds that contradict each other. */
hm_status hm_visible_units(hm_model *model, const hm_machine_units *kinds, const char *axis, hm_layer *layer);

/* `group` of a family's table (models/model.h). */
int64_t hm_machine_group(const hm_machine_units *units);

/* The hidden layers of a deep model. */
typedef struct hm_deep {
    hm_reals hidden; /* units of each, from the lowest */
    double init_std;
    int64_t classes;
} hm_deep;

/* Settings of them, for a family's table: keys hidden, init_std and classes. STRUCT has a member `deep` of type
 * hm_deep. */
#define HM_DEEP_SETTINGS(STRUCT)                                                                                       \
    {.key = "hidden",                                                                                                  \
     .type = HM_SET_REALS,                                                                                             \
     .offset = offsetof(STRUCT, deep.hidden),                                                                          \
     .min = 1,                                                                                                         \
     .max = 1e6,                                                                                                       \
     .describe = "hidden units of each layer, from the lowest"},                                                       \
        {.key = "init_std",                                                                                            \
         .type = HM_SET_REAL,                                                                                          \
         .offset = offsetof(STRUCT, deep.init_std),                                                                    \
         .min = 0,                                                                                                     \
         .max = 10,                                                                                                    \
         .fallback = "0.01",                                                                                           \
         .describe = "standard deviation of the initial weights"},                                                     \
    {                                                                                                                  \
        .key = "classes", .type = HM_SET_INT, .offset = offsetof(STRUCT, deep.classes), .min = 0, .max = 100000,       \
        .fallback = "0", .describe = "classes of labels; 0: the data's labels are not read"                            \
    }

/* HM_EUSAGE unless there are `least` to `most` whole numbers of units, and classes if their `labels` are units.
 * hm_deep_units writes the numbers out: units[0 .. count). */
hm_status hm_deep_check(const hm_deep *deep, int least, int most, bool labels);
int hm_deep_units(const hm_deep *deep, int64_t units[HM_LAYERS_MAX]);

/* The layers of a machine with `hidden[0 .. count)` units above the visible ones, and their tensors in model->layout:
 * weights W, biases b and c, running means mu and lambda, base rates; numbered W1, c1, lambda1 ... when `count` > 1;
 * W_label, b_label and mu_label of a layer of labels.
 * model->machine is made, and freed with hm_machine_free. With model->classes a classifier on the hidden layers is
 * declared, allocated, packed and freed along (classifier.h). Not collective. */
hm_status hm_machine_declare(hm_model *model, const hm_machine_units *kinds, int count, const int64_t hidden[]);
/* Room for packed weights. */
hm_status hm_machine_allocate(hm_model *model);
void hm_machine_free(hm_model *model);

/* Of one matrix of weights: W ~ N(0, init_std^2). Of visible units (and labels among them): biases = the log-odds of
 * the base rates (Gaussian units: the means), means = the rates (Hinton 2010, section 8). HM_EINTERNAL when a rate is
 * not inside (0, 1). Not collective. */
void hm_machine_init_weights(hm_model *model, int tensor, uint64_t seed, double init_std);
hm_status hm_machine_init_visible(hm_model *model, const hm_layer *visible, const float base_rates[]);

/* Both, of a whole machine; hidden biases 0. Rates of a layer of labels follow the visible ones. */
hm_status hm_machine_init(hm_model *model, uint64_t seed, double init_std, const float base_rates[]);

/* Packs the weights. */
void hm_machine_refresh(hm_model *model);

/* The same of any machine's weights alone. Room for a learnt variance, if the machine has one. */
void hm_machine_pack(const hm_model *model, hm_machine *machine);
hm_status hm_variance_allocate(hm_machine *machine);
void hm_variance_free(hm_machine *machine);

/* out (as W) = what a pass upward multiplies by: W, rows over the variance of Gaussian units (NULL: 1), so many times.
 */
void hm_weights_upward(const float *variance, hm_matrix W, float times, float *out);

/* Layers l and l + 1 as a machine of their own, which shares tensors and packed weights with `machine` and needs no
 * freeing. Inputs through the weights count so many times upward and downward. */
hm_machine hm_machine_pair(const hm_machine *machine, int l, float up_scale, float down_scale);

/* Is this tensor a weight or bias of the machine? */
bool hm_machine_has(const hm_machine *machine, int tensor);

/* Units of the layers of a side, and of both; their place in a row of the side. */
int64_t hm_side_units(const hm_machine *machine, hm_side side);
int64_t hm_all_units(const hm_machine *machine);
int64_t hm_layer_column(const hm_machine *machine, int l);

/* Is the highest layer that of the labels? */
static inline bool hm_has_label_layer(const hm_machine *machine)
{
    return machine->layer[machine->layers - 1].labels > 0;
}

/* The layer that label units are in; -1 without. */
static inline int hm_label_layer(const hm_machine *machine)
{
    if (machine->layer[0].labels > 0) return 0;
    return hm_has_label_layer(machine) ? machine->layers - 1 : -1;
}

static inline int hm_hidden_layers(const hm_machine *machine)
{
    return machine->layers - 1 - (hm_has_label_layer(machine) ? 1 : 0);
}

static inline float *hm_model_tensor(const hm_model *model, int tensor)
{
    return hm_pack_matrix(&model->layout, model->params, tensor).at;
}

/* The sum of the squares of a tensor; 0 of one that has not been given values. */
double hm_tensor_square(const hm_model *model, int tensor);

/* Which units of layer l this update leaves out, by rows of the minibatch. */
static inline hm_stream hm_dropout_stream(const hm_shard *shard, int l)
{
    return (hm_stream){shard->seed, HM_RNG_DROPOUT, shard->step * HM_LAYERS_MAX + (uint64_t)l};
}

/* The variances of a layer: NULL for 1. */
const float *hm_layer_variance(const hm_machine *machine, int l);

#endif
