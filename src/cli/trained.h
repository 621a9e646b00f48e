/* What a finished run keeps fixed: the commands that read its model use it as it was trained. */
#ifndef HM_TRAINED_H
#define HM_TRAINED_H

#include "cli/run.h"

/* Refuses a --set of what the run was trained with, which would judge another machine: HM_EUSAGE, naming the key.
 * Settings of estimates, and how the work is shared out, may be set. Texts: before the configuration is read, as another
 * family has other settings; run: after. Not collective. */
hm_status hm_trained_check_texts(const hm_texts *sets);
hm_status hm_trained_check_sets(const hm_run *run);

#endif
