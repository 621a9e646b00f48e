/* The softmax over classes and its loss, log p(label | v): for every net that tells classes. A row of training data is
 * [v, one 1 among the classes]. */
#ifndef HM_CLASS_LOSS_H
#define HM_CLASS_LOSS_H

#include "models/model.h"

/* z (rows, classes) becomes softmax(z + bias); bias may be NULL. Float64 inside. */
void hm_softmax(int64_t rows, int64_t classes, const float *bias, float *z);

/* The most probable class of one row p (classes), or the one that is on: the first of equals. */
int64_t hm_most_probable(const float *p, int64_t classes);

/* delta (rows, classes) = label - p, the gradient of the sum of log p(label | v) with respect to z. */
void hm_class_delta(const hm_model *model, const hm_shard *shard, const float *p, float *delta);

/* "classification_error" and "cross_entropy", ends with .name = NULL; and their sums over the shard's rows. */
extern const hm_monitor hm_class_monitors[];
void hm_class_monitor(const hm_model *model, const hm_shard *shard, const float *p, double monitors[2]);

#endif
