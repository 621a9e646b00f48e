/* Settings that would do nothing: of another choice (beta1 without optimizer: adam), or of other objectives. */
#ifndef HM_UNUSED_H
#define HM_UNUSED_H

#include "cli/run.h"

/* HM_EUSAGE with the place of a setting that nothing uses, unless it is as it would be anyway. One that a section has
 * from another, which gives it defaults, or that stands in the configuration which a run keeps (run->stored), gets its
 * default instead. Stages know their objectives. Not collective. */
hm_status hm_run_check_unused(hm_run *run);

#endif
