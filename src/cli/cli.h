/* The commands: the only place where src, mpi and io meet, and the only one that prints and exits. */
#ifndef HM_CLI_H
#define HM_CLI_H

#include "core/comm.h"
#include "core/log.h"
#include "core/team.h"

#include <stdbool.h>
#include <stddef.h>

/* What every command is given. */
typedef struct hm_cli {
    hm_comm *comm; /* the ranks */
    hm_log *log;   /* progress line and warnings: rank 0's, on stderr; silent on others and with --quiet */
    bool quiet;    /* --quiet: no progress, no table */
    bool json;     /* --json: one JSON object on stdout instead of the table */
} hm_cli;

/* Prints the message if this rank `speaks`, and ends the job with HM_ELOST: MPI_Finalize would wait for a rank that
 * does not answer. Any thread. */
void hm_end_without_rank(const char *message, bool speaks);

/* One option of a command, as a table from which arguments are parsed and --help is written. */
typedef enum hm_option_type { HM_OPT_FLAG, HM_OPT_TEXT, HM_OPT_INT, HM_OPT_TEXTS } hm_option_type;

typedef struct hm_texts {
    int count;
    const char **at; /* into argv; the array is owned by the options (hm_options_free) */
} hm_texts;

typedef struct hm_option {
    const char *name; /* "--set"; a short form after a bar: "--output|-o" */
    hm_option_type type;
    size_t offset;        /* of bool / const char * / int64_t / hm_texts in the command's struct */
    const char *argument; /* "FILE" in the help; NULL for flags */
    const char *describe;
} hm_option;

typedef struct hm_command {
    const char *name, *usage, *describe;
    const hm_option *options; /* ends with .name = NULL; --quiet, --json, --help are every command's */
    hm_status (*run)(hm_cli *cli, int argc, char **argv);
    bool stoppable; /* by signals (cli/signals.h), which are caught from the first moment on */
} hm_command;

/* Parses argv[1..) by the command's table into `options` (zeroed or defaulted by the caller) and leaves the positional
 * arguments in argv[0..*positional). Unknown or incomplete options: HM_EUSAGE naming them (and the closest known one).
 */
hm_status hm_options_parse(const hm_command *command, int argc, char **argv, void *options, int *positional);
void hm_options_free(const hm_command *command, void *options);

extern const hm_command hm_command_import, hm_command_whiten, hm_command_train, hm_command_evaluate, hm_command_sample,
    hm_command_encode, hm_command_info, hm_command_doctor;

/* A report: named values shown as an aligned table, or as one JSON object with --json. Rank 0 prints; the others are
 * silent. Keys are snake_case; a table row shows label, value and unit. */
typedef struct hm_report hm_report;
hm_report *hm_report_new(void);
void hm_report_text(hm_report *report, const char *key, const char *label, const char *value);
void hm_report_int(hm_report *report, const char *key, const char *label, long long value, const char *unit);
/* `digits` after the point; NaN and infinities become null in JSON. */
void hm_report_real(hm_report *report, const char *key, const char *label, double value, int digits, const char *unit);
/* A nested object: keys of what follows, until _end, lie under it; in the table it is a heading. */
void hm_report_begin(hm_report *report, const char *key, const char *label);
void hm_report_end(hm_report *report);
/* Prints (as cli says) to stdout and frees. */
hm_status hm_report_print(hm_report *report, const hm_cli *cli);
/* The same if `status` is HM_OK; otherwise only frees, and returns status. */
hm_status hm_report_finish(hm_report *report, const hm_cli *cli, hm_status status);

#endif
