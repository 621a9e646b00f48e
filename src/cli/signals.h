/* Signals that ask a training to stop: SIGTERM, SIGINT, SIGUSR1 (Slurm's --signal=B:USR1@120). The first is remembered;
 * the second ends the process at once. */
#ifndef HM_SIGNALS_H
#define HM_SIGNALS_H

/* From here on. */
void hm_signals_catch(void);

/* The name of the signal that came, "SIGTERM"; NULL when none did. */
const char *hm_signals_caught(void);

#endif
