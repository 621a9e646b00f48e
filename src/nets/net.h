/* Feed-forward nets with hand-written backward passes: a list of layers, declared in the configuration as
 *
 *   [dense 200, tanh, dense 200, batch_norm, relu, dropout 0.5]
 *
 * (hm_layer_classes lists the kinds and their arguments). Rows are independent of one another, except in batch_norm and
 * minibatch.
 * Images lie in a row as height x width x channels. A net allocates nothing in a step: activations come from an arena.
 *
 * A pass is one use of a net on a shard's rows; `program.h` strings passes together, since layers that need sums over
 * all shards have to wait for them.
 */
#ifndef HM_NET_H
#define HM_NET_H

#include "models/model.h"

#include "core/product.h"

enum { HM_NET_LAYERS_MAX = 40, HM_NETS_MAX = 16, HM_LAYER_TENSORS = 4, HM_LAYER_NAME = 40 };

/* Of one row. Plain vectors are (1, 1, n). */
typedef struct hm_shape {
    int64_t height, width, channels;
} hm_shape;

static inline int64_t hm_shape_size(hm_shape shape) { return shape.height * shape.width * shape.channels; }

typedef enum hm_init { HM_INIT_GLOROT, HM_INIT_HE, HM_INIT_ORTHOGONAL, HM_INIT_NORMAL } hm_init;

typedef struct hm_layer_class hm_layer_class;

typedef struct hm_net_layer {
    const hm_layer_class *class;
    hm_shape in, out;
    int stream; /* its own random numbers: step times HM_NET_STREAMS + stream */
    /* What its item of the list says, as far as its kind has such arguments. */
    int64_t units, pieces, size, stride, pad;
    double value;    /* slope, rate ... */
    bool by_shard;   /* batch_norm: statistics of each shard */
    int init;        /* hm_init */
    double init_std; /* HM_INIT_NORMAL */
    /* Tensors: weights first, then biases (batch_norm: gamma, beta, running mean and variance). */
    int tensors, tensor[HM_LAYER_TENSORS];
    char names[HM_LAYER_TENSORS][HM_LAYER_NAME], axes[HM_LAYER_TENSORS][HM_TENSOR_DIMS][HM_LAYER_NAME];
    hm_packed up, down; /* weights, and transposed; of kinds with a product */
} hm_net_layer;

enum { HM_NET_STREAMS = HM_NETS_MAX * HM_NET_LAYERS_MAX };

typedef struct hm_net {
    char name[16]; /* of its tensors: "encoder" */
    int count;
    hm_net_layer layer[HM_NET_LAYERS_MAX];
} hm_net;

enum { HM_PARTS_MAX = 2 };

/* One use of a net on rows of a shard. */
typedef struct hm_pass {
    int64_t rows;      /* of this shard */
    int64_t first_row; /* among all: of random numbers */
    bool training;     /* dropout, and statistics of the batch rather than running ones */
    bool back;         /* the gradient with respect to the input is wanted */
    bool frozen;       /* those with respect to the parameters are not */
    int parts;         /* equal parts of the rows with statistics of their own; 0 is 1 */
    int64_t tangents;  /* so many rows at the end are derivatives of those just before them: see hm_net.tangents */
    uint64_t seed, step;
    float *at[HM_NET_LAYERS_MAX + 1]; /* (rows, size) the input, and every layer's output */
    float *kept[HM_NET_LAYERS_MAX];   /* what a layer keeps for its backward pass */
    float *delta;                     /* (rows, size) backward: d objective / d at[l], of the layer reached */
    double *sums;                     /* of layers with statistics: this shard's, then those of all shards */
} hm_pass;

static inline int hm_parts(const hm_pass *pass) { return pass->parts > 0 ? pass->parts : 1; }

/* A kind of layer. `at` is its place in the net. Functions may be NULL where a kind has no such thing. */
struct hm_layer_class {
    const char *name, *usage, *describe;
    bool tangents;     /* knows rows that are derivatives */
    bool critic_only;  /* a row's output depends on others, in use too: for a discriminator, which is not used */
    bool in_place;     /* may write its output over its input ... */
    bool needs_output; /* ... unless the layer before needs that for its backward pass */
    /* Arguments after the name, and `out` from `in`. HM_EUSAGE. */
    hm_status (*read)(hm_net_layer *layer, char *words);
    hm_status (*declare)(hm_model *model, const hm_net *net, hm_net_layer *layer);
    hm_status (*allocate)(hm_net_layer *layer);
    hm_status (*init)(hm_model *model, const hm_net_layer *layer, uint64_t seed);
    void (*refresh)(hm_model *model, hm_net_layer *layer);
    const struct hm_activation *activation; /* of an elementwise layer */
    /* Numbers that shards exchange before `forward` and before `backward`, of which the next two make this shard's
     * part, in pass->sums. */
    int64_t (*sums)(const hm_net_layer *layer);
    void (*measure)(const hm_net_layer *layer, hm_pass *pass, int at);
    void (*measure_back)(const hm_net_layer *layer, hm_pass *pass, int at);
    /* Floats that it keeps for a pass of so many rows; that backward takes beside the gradient of its input. */
    int64_t (*keeps)(const hm_net_layer *layer, int64_t rows);
    int64_t (*takes)(const hm_net_layer *layer, int64_t rows);
    void (*forward)(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at);
    /* From pass->delta (rows, out): gradients of its tensors into the shard; d / d input into `input` (rows, in),
     * NULL when not wanted, pass->delta itself where a kind works in place. more: `takes` floats. */
    void (*backward)(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                     float *more, float *input);
    /* Once an update, from sums over all rows of the batch: running statistics. */
    void (*finish)(hm_model *model, const hm_net_layer *layer, int64_t batch, const float *grad);
};

/* The kinds; ends with NULL. */
extern const hm_layer_class *const hm_layer_classes[];

/* ---- a net ------------------------------------------------------------------------------------------------------ */

/* The layers of `list` ("[dense 200, tanh]"; key: "encoder", for messages), on rows of shape `in`; tensors not yet
 * declared. number: which of the model's nets, for random numbers. HM_EUSAGE. */
hm_status hm_net_read(hm_net *net, const char *key, const char *list, hm_shape in, int number);
/* The next item of a list at *at, which moves on, into item (HM_LAYER_WORDS); false at the list's end. */
enum { HM_LAYER_WORDS = 128 };
bool hm_next_item(const char **at, char item[HM_LAYER_WORDS]);
/* One more layer, as an item of a list. */
hm_status hm_net_append(hm_net *net, const char *key, const char *item, hm_shape in, int number);
hm_shape hm_net_out(const hm_net *net);

/* Tensors with products first, then all others: called for both kinds of all nets of a model. */
hm_status hm_net_declare(hm_model *model, hm_net *net);
hm_status hm_net_allocate(hm_net *net);
void hm_net_free(hm_net *net);
hm_status hm_net_init(hm_model *model, const hm_net *net, uint64_t seed);
void hm_net_refresh(hm_model *model, hm_net *net);
bool hm_net_has(const hm_net *net, int tensor);
void hm_net_finish(hm_model *model, const hm_net *net, int64_t batch, const float *grad);

/* HM_EUSAGE when a layer is one for discriminators only. */
hm_status hm_net_check_use(const hm_net *net);

/* Does a layer tie the rows of a batch to one another, in training (of nets that may be used)? */
bool hm_net_ties_rows(const hm_net *net);

/* The first layer that does not know tangents, or NULL. A tangent row t of a row x stands for the derivative of x along
 * some direction: dense y = x W + b has t W, an elementwise y = f(x) has f'(x) t. With a gradient of 1 on the tangents
 * of the last layer and 0 on their rows, the backward pass gives the gradient of the derivative: what a penalty on a
 * gradient needs (Gulrajani et al. 2017). */
const char *hm_net_without_tangents(const hm_net *net);

/* The floats of a pass of so many rows, forward; backward too. */
size_t hm_net_bytes(const hm_net *net, int64_t rows, bool backward);

/* Room for a pass, whose input is pass->at[0] (borrowed). */
hm_status hm_net_begin(const hm_net *net, hm_pass *pass, hm_arena *scratch);

/* A whole pass with running statistics and without dropout, of `rows` of input: *out (rows, size of the last layer).
 * Thread-safe; scratch of hm_net_bytes. */
hm_status hm_net_apply(const hm_model *model, const hm_net *net, hm_matrix input, hm_arena *scratch, float **out);

/* ---- for the kinds of layers ------------------------------------------------------------------------------------- */

/* The next word of an item, which is cut off it, or NULL at its end. */
char *hm_next_word(char **words);
/* A number that must come next: "dense: UNITS must be an integer from 1 to 1000000". */
hm_status hm_next_integer(const hm_net_layer *layer, char **words, const char *what, int64_t least, int64_t most,
                          int64_t *out);
hm_status hm_next_real(const hm_net_layer *layer, char **words, const char *what, double least, double most,
                       double *out);
/* Words that a layer with weights may end with: "init he", "init normal 0.02"; HM_EUSAGE for any other word. */
hm_status hm_read_init(hm_net_layer *layer, char *words);

/* Adds a tensor of the layer: its name is that of the net, `name` and the layer's number. */
hm_status hm_layer_tensor(hm_model *model, const hm_net *net, hm_net_layer *layer, const char *name, hm_tensor tensor);
hm_matrix hm_layer_matrix(const hm_model *model, const hm_net_layer *layer, int tensor);

/* Weights by the layer's `init`, from fan_in inputs and fan_out outputs of a unit. */
hm_status hm_init_weights(hm_model *model, const hm_net_layer *layer, uint64_t seed, int64_t fan_in, int64_t fan_out);

extern const hm_layer_class hm_layer_dense, hm_layer_maxout, hm_layer_relu, hm_layer_leaky_relu, hm_layer_tanh,
    hm_layer_sigmoid, hm_layer_softplus, hm_layer_dropout, hm_layer_batch_norm, hm_layer_reshape, hm_layer_minibatch,
    hm_layer_conv, hm_layer_transposed_conv;

#endif
