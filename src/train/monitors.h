/* What a row of metrics says of an update. */
#ifndef HM_MONITORS_H
#define HM_MONITORS_H

#include "train/contrast.h"

/* The monitors on the minibatch of the last update, with the parameters after it, in the order of hm_contrast_metrics.
 * values: (HM_METRICS_MAX). Collective. */
hm_status hm_contrast_measure(hm_contrast *contrast, double values[]);

#endif
