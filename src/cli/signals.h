/* Signals. Training stops when one of SIGTERM, SIGINT, SIGHUP, SIGUSR1 (Slurm's --signal=B:USR1@120) comes: the first
 * is remembered; the second ends the process at once. They end the other commands, which leave no temporary files
 * behind.
 */
#ifndef HM_SIGNALS_H
#define HM_SIGNALS_H

#include <stdbool.h>

/* From here on. `stoppable`: the command looks at hm_signals_caught. A signal that was ignored when the program started
 * stays ignored, as `nohup` wants it of SIGHUP; a stoppable command still listens to the other three. */
void hm_signals_catch(bool stoppable);

/* The name of the signal that came, "SIGTERM"; NULL when none did. */
const char *hm_signals_caught(void);

#endif
