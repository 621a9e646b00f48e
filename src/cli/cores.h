/* Cores against ranks and threads: what makes parallel programs slow without a word. */
#ifndef HM_CLI_CORES_H
#define HM_CLI_CORES_H

#include "cli/cli.h"

/* Cores that this rank is allowed to run on (mpirun may bind it to one); cores of this host. */
int hm_cores_of_rank(void);
int hm_cores_of_host(void);

/* Warns, once, when a rank has fewer cores than threads, or a host fewer than its ranks' threads. Collective. */
void hm_warn_oversubscription(const hm_cli *cli, int threads);

#endif
