/* Contrastive training: positive phase on the data against negative phase on the model (RBM, DBM, ...). */
#ifndef HM_CONTRAST_H
#define HM_CONTRAST_H

#include "core/settings.h"
#include "models/model.h"

typedef struct hm_contrast_settings {
    int estimator;         /* hm_estimator: exact, cd, pcd */
    int64_t k;             /* Gibbs steps an update (cd, pcd) */
    int64_t chains;        /* persistent chains over all shards (pcd); 0: as many as the batch */
    bool centered;         /* subtract running means from v and h (Melchior, Fischer, Wiskott 2016) */
    double offset_rate;    /* of the running means, in (0, 1] */
    double sparsity_target; /* wanted mean of each hidden unit; used when sparsity_cost > 0 */
    double sparsity_cost;
} hm_contrast_settings;

extern const hm_settings_table hm_contrast_table; /* section "train" */

#endif
