/* What a finished run keeps fixed: the commands that read its model use it as it was trained. */
#ifndef HM_TRAINED_H
#define HM_TRAINED_H

#include "cli/run.h"

/* Refuses a --set of what the run was trained with, which would judge another machine: HM_EUSAGE, naming the key.
 * Settings of estimates, and how the work is shared out, may be set. Texts: before the configuration is read, as
 * another family has other settings; run: after. Not collective. */
hm_status hm_trained_check_texts(const hm_texts *sets);
hm_status hm_trained_check_sets(const hm_run *run);

/* hm_dataset_open_labelled of a split of the run's data file, for its model. Rows that were not whitened, of a model
 * trained on such that were, are transformed as those were, by what the model keeps. HM_EDATA when the rows have
 * another transform. Borrows the run. Not collective; hm_trained_open_split, of every rank, is. */
hm_status hm_trained_open(const hm_run *run, hm_split split, int64_t classes, hm_source **out);
hm_status hm_trained_open_split(const hm_run *run, hm_comm *comm, hm_split split, int64_t classes, hm_source **out);

/* Are the training rows of the run's data file not those that it was trained on? false where that was not kept.
 * HM_EDATA. Collective. */
hm_status hm_trained_changed(const hm_run *run, hm_comm *comm, bool *changed);

#endif
