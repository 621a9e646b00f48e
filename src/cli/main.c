/* harmonium: the program. Starts MPI, finds the command, prints the one message of a failure, once. */
#include "cli/cli.h"

#include "cli/blas.h"
#include "cli/limits.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "core/closest.h"
#include "core/memory.h"
#include "io/files.h"
#include "io/store.h"
#include "mpi/comm_mpi.h"

#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hm_command *const commands[] = {
    &hm_command_import, &hm_command_whiten, &hm_command_train, &hm_command_evaluate,
    &hm_command_sample, &hm_command_encode, &hm_command_info,  &hm_command_doctor,
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const hm_command *find_command(const char *name)
{
    for (int command = 0; command < COMMANDS; command++)
        if (strcmp(commands[command]->name, name) == 0) return commands[command];
    return NULL;
}

static void print_usage(void)
{
    printf("usage: harmonium COMMAND ...      (alone, or under mpirun -n N)\n\ncommands:\n");
    for (int command = 0; command < COMMANDS; command++)
        printf("  %-10s %s\n", commands[command]->name, commands[command]->describe);
    printf("\nharmonium COMMAND --help explains one; harmonium --version prints the version\n");
}

static hm_status refuse_command(const char *name)
{
    char known[128] = "";
    size_t used = 0;
    hm_closest closest = hm_closest_to(name);
    for (int command = 0; command < COMMANDS; command++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", commands[command]->name);
        hm_closest_offer(&closest, commands[command]->name);
    }
    return hm_fail(HM_EUSAGE, "unknown command '%s'; %s%s%sknown: %s", name, closest.word ? "did you mean '" : "",
                   closest.word ? closest.word : "", closest.word ? "'? " : "", known);
}

/* Takes an option that every command has out of the arguments. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    bool taken = false;
    int kept = 1;
    for (int at = 1; at < *argc; at++) {
        if (strcmp(argv[at], "--") == 0) {
            while (at < *argc) argv[kept++] = argv[at++];
            break;
        }
        if (strcmp(argv[at], flag) == 0)
            taken = true;
        else
            argv[kept++] = argv[at];
    }
    *argc = kept;
    return taken;
}

static hm_status run_command(hm_comm *comm, const hm_command *command, int argc, char **argv)
{
    bool help = take_flag(&argc, argv, "--help") || take_flag(&argc, argv, "-h");
    hm_cli cli = {.comm = comm, .quiet = take_flag(&argc, argv, "--quiet"), .json = take_flag(&argc, argv, "--json")};
    if (help) {
        if (comm->rank == 0) hm_print_help(command);
        return HM_OK;
    }
    cli.log = hm_log_stderr(comm->rank, !cli.quiet && !cli.json);
    hm_status status = command->run(&cli, argc, argv);
    hm_log_finish(cli.log);
    return status;
}

static hm_status dispatch(hm_comm *comm, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    const hm_command *command = find_command(name);
    if (command) return run_command(comm, command, argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0) {
        if (comm->rank == 0) printf("harmonium %s\n", HARMONIUM_VERSION);
        return HM_OK;
    }
    bool asked = argc > 1 && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0);
    if (!asked && argc > 1) return refuse_command(name);
    if (comm->rank == 0) print_usage();
    return asked ? HM_OK : hm_fail(HM_EUSAGE, "no command given");
}

static void end_at_once(const char *message, bool speaks, hm_status status)
{
    enum { TIME_TO_SPEAK = 2 }; /* seconds; the first that ends, ends all */
    if (speaks)
        fprintf(stderr, "harmonium: %s\n", message);
    else
        sleep(TIME_TO_SPEAK);
    hm_temporary_remove_all();
    _exit((int)status);
}

void hm_end_without_rank(const char *message, bool speaks) { end_at_once(message, speaks, HM_ELOST); }

/* HDF5 does not return; every rank that reads the file is here, or waits for one that is. */
static void end_hanging(const char *message)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    end_at_once(message, rank == 0, HM_EDATA);
}

/* A descriptor that is closed (`>&-`) would become that of the next file, into which messages would go. */
static void open_standard_files(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
        /* The lowest that is free, which is this one. Writing to what is open for reading fails, and is told. */
        (void)!open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

#if !defined __SANITIZE_ADDRESS__ /* whose checks begin later */
/* Runs before the libraries' own first moments. */
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(int, char **,
                                                                                       char **) = hm_limits_prepare;
#endif

int main(int argc, char **argv)
{
    hm_comm *comm = NULL;
    int provided;
    open_standard_files();
    /* A write beyond a limit, or to a reader that has gone, is an error to report, not a death. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    const hm_command *command = argc > 1 ? find_command(argv[1]) : NULL;
    hm_signals_catch(command && command->stoppable);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    /* Threads are asked for where they are used; libraries inside a shard have one. */
    hm_blas_use_one_thread();
    hm_store_on_hang(end_hanging);
    hm_status status = hm_comm_mpi_create(MPI_COMM_WORLD, &comm);
    if (status == HM_OK) status = comm->agree(comm, dispatch(comm, argc, argv));
    if (comm && comm->lost) hm_end_without_rank(hm_error_message(), hm_comm_mpi_speaks(comm));
    if (status != HM_OK && (!comm || comm->rank == 0)) {
        fflush(stdout);
        fprintf(stderr, "harmonium: %s\n", hm_error_message());
    }
    hm_comm_mpi_free(comm);
    MPI_Finalize();
    return (int)status;
}
