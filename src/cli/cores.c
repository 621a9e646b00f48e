#include "cli/cores.h"

#include "core/team.h"
#include "mpi/comm_mpi.h"

#include <stdio.h>
#include <unistd.h>

int hm_cores_of_rank(void) { return hm_team_cores(); }

int hm_cores_of_host(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

void hm_warn_oversubscription(const hm_cli *cli, int threads)
{
    int ranks = hm_comm_mpi_ranks_on_host(cli->comm), host = hm_cores_of_host(), rank = hm_cores_of_rank();
    char message[256];
    if (ranks * threads > host)
        snprintf(message, sizeof message,
                 "%d ranks of %d threads share the %d cores of this host and wait for one another; "
                 "use fewer",
                 ranks, threads, host);
    else if (threads > rank)
        snprintf(message, sizeof message,
                 "each rank has %d threads but is bound to %d cores; start it with mpirun "
                 "--bind-to none",
                 threads, rank);
    else
        return;
    cli->log->warn(cli->log, message); /* rank 0's log is the one that speaks */
}
