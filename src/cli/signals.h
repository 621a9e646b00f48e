/* Signals. Training stops when one of SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1 (Slurm's --signal=B:USR1@120) or
 * SIGUSR2 comes: the first is remembered; a second one ends the process at once, unless it may be the first one
 * repeated (SIGHUP comes from a terminal and from its shell, SIGXCPU every second). They end the other commands, which
 * leave no temporary files behind.
 */
#ifndef HM_SIGNALS_H
#define HM_SIGNALS_H

#include <stdbool.h>

/* From here on. `stoppable`: the command looks at hm_signals_caught. A signal that was ignored when the program started
 * stays ignored, as `nohup` wants it of SIGHUP; a stoppable command still listens to the others. */
void hm_signals_catch(bool stoppable);

/* The name of the signal that came, "SIGTERM"; NULL when none did. */
const char *hm_signals_caught(void);

#endif
