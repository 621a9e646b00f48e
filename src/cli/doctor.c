/* harmonium doctor: what this machine and this build can do, and what is set so that it cannot. */
#include "cli/cli.h"

#include "cli/blas.h"
#include "cli/cores.h"
#include "core/kernels.h"
#include "core/memory.h"
#include "core/peak.h"
#include "core/product.h"
#include "infer/progress.h"
#include "mpi/comm_mpi.h"
#include "mpi/scalapack_grid.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hm_option options[] = {{.name = NULL}};

/* ---- ranks and threads ------------------------------------------------------------------------------------------ */

static void report_ranks(const hm_cli *cli, hm_report *report)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING], host[MPI_MAX_PROCESSOR_NAME];
    int length;
    const char *threads = getenv("OMP_NUM_THREADS");
    MPI_Get_library_version(library, &length);
    library[strcspn(library, ",\n")] = '\0';
    MPI_Get_processor_name(host, &length);
    hm_report_text(report, "mpi", "MPI", library);
    hm_report_int(report, "ranks", "ranks", cli->comm->size, NULL);
    hm_report_text(report, "host", "host of rank 0", host);
    hm_report_int(report, "ranks_on_host", "ranks on that host", hm_comm_mpi_ranks_on_host(cli->comm), NULL);
    hm_report_int(report, "cores_of_host", "cores of that host", hm_cores_of_host(), NULL);
    hm_report_int(report, "cores_of_rank", "cores a rank may use", hm_cores_of_rank(), NULL);
    hm_report_text(report, "omp_num_threads", "OMP_NUM_THREADS",
                   threads ? threads : "not set (threads are set in the configuration)");
    hm_warn_oversubscription(cli, 1);
}

/* ---- kernels and libraries -------------------------------------------------------------------------------------- */

/* OpenBLAS's names of kernels that use an instruction set, widest first. The first name is what to ask for. */
static const struct blas_cores {
    const char *isa, *title;
    const char *names[8];
} wide_cores[] = {
    {"avx512", "AVX-512", {"SkylakeX", "Cooperlake", "Sapphirerapids"}},
    {"avx2", "AVX2", {"Haswell", "Zen", "Excavator"}},
};
enum { WIDE_CORES = sizeof wide_cores / sizeof wide_cores[0] };

/* The place in the table; WIDE_CORES for lesser ones. */
static int width_of_core(const char *core)
{
    for (int at = 0; at < WIDE_CORES; at++)
        for (const char *const *name = wide_cores[at].names; *name; name++)
            if (strcasecmp(core, *name) == 0) return at;
    return WIDE_CORES;
}
static int width_of_isa(const char *isa)
{
    int at = 0;
    while (at < WIDE_CORES && strcmp(isa, wide_cores[at].isa) != 0) at++;
    return at;
}

/* Warns when OpenBLAS uses kernels for lesser processors: because it was told to, or as it is older than the processor
 * and does not know it. */
static void warn_of_slow_blas(const hm_cli *cli, const char *best_isa, const char *core, const char *forced)
{
    char message[320];
    int able = width_of_isa(best_isa), used = width_of_core(core);
    if (used <= able) return;
    const struct blas_cores *wanted = &wide_cores[able];
    if (forced && *forced)
        snprintf(message, sizeof message,
                 "OPENBLAS_CORETYPE=%s forces %s kernels on a processor with %s, which halves the speed of OpenBLAS or "
                 "worse (not of Harmonium's own products); unset it, or set it to %s",
                 forced, core, wanted->title, wanted->names[0]);
    else if (used == WIDE_CORES && strstr(hm_blas_config(), "DYNAMIC_ARCH"))
        snprintf(message, sizeof message,
                 "OpenBLAS does not know this processor, which has %s, and uses %s kernels: that takes most of its "
                 "speed (not of Harmonium's own products); set OPENBLAS_CORETYPE=%s",
                 wanted->title, core, wanted->names[0]);
    else
        return; /* its own choice among what it was built with */
    cli->log->warn(cli->log, message);
}

static void report_kernels(const hm_cli *cli, hm_report *report)
{
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    const char *used = isas[0].name, *core = hm_blas_core(), *forced = getenv("OPENBLAS_CORETYPE");
    char message[256];
    for (int isa = 0; isa < count; isa++)
        if (isas[isa].kernels == hm_kernels_best()) used = isas[isa].name;
    hm_report_text(report, "kernels", "kernels in use", used);
    hm_report_text(report, "kernels_best", "best this processor can run", isas[0].name);
    hm_report_text(report, "openblas", "OpenBLAS", core ? hm_blas_config() : "not this BLAS");
    hm_report_text(report, "openblas_core", "OpenBLAS kernels in use", core ? core : "none");
    hm_report_text(report, "openblas_coretype", "OPENBLAS_CORETYPE", forced ? forced : "not set");
    if (strcmp(used, isas[0].name) != 0) {
        snprintf(message, sizeof message, "HARMONIUM_ISA forces %s kernels where %s would run", used, isas[0].name);
        cli->log->warn(cli->log, message);
    }
    if (core) warn_of_slow_blas(cli, isas[0].name, core, forced);
}

static hm_status report_libraries(const hm_cli *cli, MPI_Comm mpi, hm_report *report)
{
    unsigned major, minor, release;
    char text[64];
    hm_grid grid;
    double error = 0;
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    hm_report_text(report, "hdf5", "HDF5", text);
#ifdef H5_HAVE_PARALLEL
    hm_report_text(report, "hdf5_parallel", "  parallel", "yes");
#else
    hm_report_text(report, "hdf5_parallel", "  parallel", "no");
#endif
    HM_TRY(cli->comm->agree(cli->comm, hm_grid_create(mpi, &grid)));
    hm_status status = hm_grid_check(&grid, mpi, &error);
    hm_grid_free(&grid);
    HM_TRY(cli->comm->agree(cli->comm, status));
    snprintf(text, sizeof text, "%d x %d", grid.rows, grid.columns);
    hm_report_text(report, "scalapack_grid", "ScaLAPACK grid", text);
    hm_report_text(report, "scalapack_check", "  pdgemm check", error == 0 ? "exact" : "WRONG");
    HM_REQUIRE(error == 0, HM_EINTERNAL, "ScaLAPACK multiplies wrongly: largest error %g", error);
    return HM_OK;
}

/* ---- speed ------------------------------------------------------------------------------------------------------ */

enum { ROWS = 16, DEPTH = 784, COLUMNS = 500 }; /* a shard's rows and the weights of the benchmark */

/* GFLOP/s of dense products with packed weights, on one thread: the best of several runs of ten milliseconds. */
static hm_status product_speed(double *best)
{
    enum { RUNS = 25 };
    static const double RUN = 0.01; /* seconds, at least */
    hm_team alone = {.threads = 1};
    hm_packed packed;
    float *x, *w, *out;
    HM_TRY(hm_packed_init(&packed, DEPTH, COLUMNS));
    HM_TRY(hm_alloc(&x, ROWS * DEPTH, sizeof(float), "states"));
    HM_TRY(hm_alloc(&w, DEPTH * COLUMNS, sizeof(float), "weights"));
    HM_TRY(hm_alloc(&out, ROWS * COLUMNS + 64, sizeof(float), "a product"));
    for (int i = 0; i < ROWS * DEPTH; i++) x[i] = 1.0f; /* no zeros to skip */
    hm_pack_weights(&packed, (hm_matrix){w, DEPTH, COLUMNS}, &alone);
    *best = 0;
    for (int run = 0; run < RUNS; run++) {
        double start = hm_clock(), seconds = 0;
        int products = 0;
        for (; seconds < RUN; products++, seconds = hm_clock() - start)
            hm_product((hm_matrix){x, ROWS, DEPTH}, &packed, out);
        *best = fmax(*best, 2.0 * ROWS * DEPTH * COLUMNS * products / seconds / 1e9);
    }
    hm_packed_free(&packed);
    free(x);
    free(w);
    free(out);
    return HM_OK;
}

static hm_status report_speed(const hm_cli *cli, hm_report *report)
{
    hm_comm *comm = cli->comm;
    double alone = 0, product = 0, together;
    /* Rank 0 alone first, then all at once: the difference is what they share. */
    hm_status status = HM_OK;
    if (comm->rank == 0) {
        alone = hm_measured_peak();
        status = product_speed(&product);
    }
    HM_TRY(comm->agree(comm, status));
    together = hm_measured_peak();
    HM_TRY(comm->reduce_double(comm, &together, 1));
    hm_report_real(report, "peak_gflops_per_core", "multiply-add peak, one core", alone, 1, "GFLOP/s");
    hm_report_real(report, "peak_gflops_all_ranks", "  all ranks at once", together, 1, "GFLOP/s");
    hm_report_real(report, "product_gflops", "product of 16 rows, 784 x 500", product, 1, "GFLOP/s");
    hm_report_real(report, "product_of_peak", "  of the peak", 100 * product / alone, 1, "%");
    return HM_OK;
}

static void report_memory(hm_report *report)
{
    double page = (double)sysconf(_SC_PAGESIZE) / 1e9;
    hm_report_real(report, "memory_gb", "memory", (double)sysconf(_SC_PHYS_PAGES) * page, 1, "GB");
#ifdef _SC_AVPHYS_PAGES
    hm_report_real(report, "memory_free_gb", "  free", (double)sysconf(_SC_AVPHYS_PAGES) * page, 1, "GB");
#endif
}

static hm_status examine(const hm_cli *cli, hm_report *report)
{
    MPI_Comm mpi = hm_comm_mpi_handle(cli->comm);
    int size = cli->comm->size;
    hm_report_text(report, "version", "harmonium", HARMONIUM_VERSION);
    report_ranks(cli, report);
    report_kernels(cli, report);
    HM_TRY(report_libraries(cli, mpi, report));
    report_memory(report);
    if ((size & (size - 1)) != 0) {
        cli->log->warn(cli->log, "training needs a power of two of ranks; speeds are not measured");
        return HM_OK;
    }
    return report_speed(cli, report);
}

static hm_status run_doctor(hm_cli *cli, int argc, char **argv)
{
    char nothing;
    int positional;
    HM_TRY(hm_options_parse(&hm_command_doctor, argc, argv, &nothing, &positional));
    HM_REQUIRE(positional == 0, HM_EUSAGE, "doctor takes no arguments; %d given", positional);
    hm_report *report = hm_report_new();
    return hm_report_finish(report, cli, examine(cli, report));
}

const hm_command hm_command_doctor = {
    .name = "doctor",
    .usage = "",
    .describe = "MPI, threads, kernels, libraries and speed of this machine",
    .options = options,
    .run = run_doctor,
};
