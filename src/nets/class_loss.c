#include "nets/class_loss.h"

#include <math.h>

void hm_softmax(int64_t rows, int64_t classes, const float *bias, float *z)
{
    for (int64_t row = 0; row < rows; row++) {
        float *p = z + row * classes;
        double most = -INFINITY, sum = 0;
        for (int64_t c = 0; c < classes; c++) {
            if (bias) p[c] += bias[c];
            most = fmax(most, (double)p[c]);
        }
        for (int64_t c = 0; c < classes; c++) sum += exp((double)p[c] - most);
        for (int64_t c = 0; c < classes; c++) p[c] = (float)(exp((double)p[c] - most) / sum);
    }
}

static const float *label_of(const hm_model *model, const hm_shard *shard, int64_t row)
{
    return shard->data.at + row * shard->data.columns + model->visible;
}

void hm_class_delta(const hm_model *model, const hm_shard *shard, const float *p, float *delta)
{
    for (int64_t row = 0; row < shard->data.rows; row++)
        for (int64_t c = 0; c < model->classes; c++)
            delta[row * model->classes + c] = label_of(model, shard, row)[c] - p[row * model->classes + c];
}

const hm_monitor hm_class_monitors[] = {
    {"classification_error", NULL, "share of the minibatch's rows of which another class is the most probable"},
    {"cross_entropy", "nats", "mean of -log p(label | v) over the minibatch, without dropout"},
    {NULL, NULL, NULL},
};

int64_t hm_most_probable(const float *p, int64_t classes)
{
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++)
        if (p[c] > p[best]) best = c;
    return best;
}

void hm_class_monitor(const hm_model *model, const hm_shard *shard, const float *p, double monitors[2])
{
    for (int64_t row = 0; row < shard->data.rows; row++) {
        const float *of_row = p + row * model->classes;
        int64_t is = hm_most_probable(label_of(model, shard, row), model->classes);
        monitors[0] += hm_most_probable(of_row, model->classes) != is;
        monitors[1] -= log(fmax((double)of_row[is], 1e-45)); /* the least float32 */
    }
}
