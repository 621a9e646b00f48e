/* The log of the commands: progress and warnings on stderr. */
#ifndef HM_CLI_PROGRESS_H
#define HM_CLI_PROGRESS_H

#include "core/log.h"

/* A log for this rank: rank 0's speaks, the others' are silent. Without `progress` only warnings are shown. On a
 * terminal progress is one line that is rewritten; elsewhere a line an epoch. Static storage. */
hm_log *hm_log_stderr(int rank, bool progress);

/* Ends a progress line that is still open. */
void hm_log_finish(hm_log *log);

#endif
