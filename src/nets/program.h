/* The gradient of an objective made of nets, as a list of steps that a family writes down once:
 *
 *   hm_program_forward(p, encoder); hm_program_call(p, draw, 0); hm_program_forward(p, decoder);
 *   hm_program_call(p, loss, 0); hm_program_backward(p, decoder, true); ...
 *
 * A layer with statistics of the whole batch ends a stretch: the shard's sums are exchanged, and the steps after it see
 * those of all shards (models/model.h, `stretches`). What a shard remembers from one stretch to the next, and its
 * passes, is its work, at the beginning of its scratch.
 */
#ifndef HM_PROGRAM_H
#define HM_PROGRAM_H

#include "nets/net.h"

enum { HM_STEPS_MAX = 512, HM_WORK_POINTERS = 64 };

/* One shard's work. Passes are numbered by the family. */
typedef struct hm_work {
    int at; /* the next step */
    hm_pass pass[HM_NETS_MAX];
    void *own[HM_WORK_POINTERS]; /* room for what the family keeps, zero at first */
} hm_work;

typedef hm_status (*hm_call)(const hm_model *model, hm_shard *shard, hm_work *work, int argument);

typedef struct hm_step {
    hm_call call; /* the family's function, or NULL: */
    enum { HM_STEP_MEASURE, HM_STEP_FORWARD, HM_STEP_MEASURE_BACK, HM_STEP_BACKWARD } kind;
    const hm_net *net;
    int pass, layer; /* of a call: layer is its argument */
    bool exchanges;  /* the end of a stretch */
} hm_step;

typedef struct hm_program {
    int count;
    hm_stretches stretches;
    hm_step step[HM_STEPS_MAX];
} hm_program;

/* A training pass over `input`, (times * rows of the shard, ...). */
hm_pass hm_pass_of(const hm_shard *shard, int64_t times, float *input);

/* The family's own step. */
void hm_program_call(hm_program *program, hm_call call, int argument);
/* All layers of a pass: its `rows`, `at[0]` and so on are filled in by a call before it. */
void hm_program_forward(hm_program *program, const hm_net *net, int pass);
/* From pass->delta of the last layer down to the first; then pass->delta is d / d input, if pass->back. */
void hm_program_backward(hm_program *program, const hm_net *net, int pass);

/* A gradient function (models/model.h): the steps of the shard's stretch. `start` fills in shard->work->own at the
 * beginning of the first one. */
hm_status hm_program_run(const hm_program *program, const hm_model *model, hm_shard *shard);

/* Scratch for the work itself. */
size_t hm_work_bytes(void);

#endif
