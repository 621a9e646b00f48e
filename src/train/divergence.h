/* Is training still sane? HM_ENUMERIC when not, with a message that names stage, update and what to lower. */
#ifndef HM_DIVERGENCE_H
#define HM_DIVERGENCE_H

#include "train/contrast.h"

/* Fails with "training diverged: WHAT after update 12 (epoch 3) ..."; of a run of several stages it names this one. */
hm_status hm_diverged(const hm_contrast *contrast, const char *what);

/* Parameters that are not finite, weights that have exploded. Not collective. */
hm_status hm_contrast_check_finite(const hm_contrast *contrast);

/* What shows only from one row of metrics to the next: what the objective finds (dead units), and no persistent chain
 * that has moved for 100 updates and an epoch. Collective. */
hm_status hm_contrast_check_alive(hm_contrast *contrast);

#endif
