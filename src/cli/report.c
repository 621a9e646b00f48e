/* Reports: the same rows as an aligned table for people, or as one JSON object for programs. */
#include "cli/cli.h"

#include "core/memory.h"
#include "core/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum row_kind { ROW_TEXT, ROW_NUMBER, ROW_BEGIN, ROW_END } row_kind;

typedef struct row {
    row_kind kind;
    char *key, *label, *unit; /* owned */
    char *value;              /* owned; a number as it is printed in the table */
    char *json;               /* owned; a number with all its digits */
} row;

struct hm_report {
    row *rows;
    int count, room;
    bool broken; /* out of memory: said when printed */
};

hm_report *hm_report_new(void) { return calloc(1, sizeof(hm_report)); }

static char *copy(const char *text) { return strdup(text ? text : ""); }

static void add(hm_report *report, row_kind kind, const char *key, const char *label, const char *value,
                const char *json, const char *unit)
{
    if (!report || report->broken) return;
    if (report->count == report->room) {
        int room = report->room ? 2 * report->room : 32;
        row *rows = realloc(report->rows, (size_t)room * sizeof *rows);
        if (!rows) {
            report->broken = true;
            return;
        }
        report->rows = rows;
        report->room = room;
    }
    row added = {kind, copy(key), copy(label), copy(unit), copy(value), copy(json)};
    report->broken = !added.key || !added.label || !added.unit || !added.value || !added.json;
    report->rows[report->count++] = added;
}

void hm_report_text(hm_report *report, const char *key, const char *label, const char *value)
{
    add(report, ROW_TEXT, key, label, value, NULL, NULL);
}

void hm_report_int(hm_report *report, const char *key, const char *label, long long value, const char *unit)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    add(report, ROW_NUMBER, key, label, text, text, unit);
}

void hm_report_real(hm_report *report, const char *key, const char *label, double value, int digits, const char *unit)
{
    char text[64], json[64];
    snprintf(text, sizeof text, "%.*f", digits, value);
    if (isnan(value)) { /* where there is no such number */
        unit = NULL;
        snprintf(text, sizeof text, "none");
    }
    if (isfinite(value))
        snprintf(json, sizeof json, "%.17g", value);
    else
        snprintf(json, sizeof json, "null");
    add(report, ROW_NUMBER, key, label, text, json, unit);
}

void hm_report_begin(hm_report *report, const char *key, const char *label)
{
    add(report, ROW_BEGIN, key, label, NULL, NULL, NULL);
}

void hm_report_end(hm_report *report) { add(report, ROW_END, NULL, NULL, NULL, NULL, NULL); }

/* ---- printing --------------------------------------------------------------------------------------------------- */

static void print_json_text(const char *text)
{
    putchar('"');
    while (*text) {
        uint32_t code = 0;
        int length = hm_utf8_length(text, &code);
        if (length == 0) /* a byte that is no UTF-8, as Python writes it: json.loads and os.fsencode give it back */
            printf("\\udc%02x", (unsigned char)*text);
        else if (code < ' ' || (code >= 0x7f && code < 0xa0))
            printf("\\u%04x", code);
        else
            printf("%s%.*s", code == '"' || code == '\\' ? "\\" : "", length, text);
        text += length > 0 ? length : 1;
    }
    putchar('"');
}

static void print_json(const hm_report *report)
{
    bool first = true;
    putchar('{');
    for (int at = 0; at < report->count; at++) {
        const row *r = &report->rows[at];
        if (r->kind == ROW_END) {
            putchar('}');
            first = false;
            continue;
        }
        if (!first) printf(", ");
        print_json_text(r->key);
        printf(": ");
        if (r->kind == ROW_TEXT) print_json_text(r->value);
        if (r->kind == ROW_NUMBER) fputs(r->json, stdout);
        if (r->kind == ROW_BEGIN) putchar('{');
        first = r->kind == ROW_BEGIN;
    }
    puts("}");
}

static void print_table(const hm_report *report)
{
    int widest = 0, depth = 0;
    for (int at = 0; at < report->count; at++) {
        int width = (int)strlen(report->rows[at].label);
        if (report->rows[at].kind != ROW_BEGIN && width > widest) widest = width;
    }
    for (int at = 0; at < report->count; at++) {
        const row *r = &report->rows[at];
        if (r->kind == ROW_END) {
            depth--;
            continue;
        }
        char *const texts[] = {r->label, r->value, r->unit};
        for (int text = 0; text < 3; text++)
            if (texts[text]) hm_make_printable(texts[text]);
        if (r->kind == ROW_BEGIN)
            printf("%*s%s\n", 2 * depth++, "", r->label);
        else if (r->kind == ROW_TEXT)
            printf("%*s%-*s  %s\n", 2 * depth, "", widest, r->label, r->value);
        else
            printf("%*s%-*s  %12s%s%s\n", 2 * depth, "", widest, r->label, r->value, *r->unit ? " " : "", r->unit);
    }
}

static void free_report(hm_report *report)
{
    for (int at = 0; at < report->count; at++) {
        row *r = &report->rows[at];
        free(r->key);
        free(r->label);
        free(r->unit);
        free(r->value);
        free(r->json);
    }
    free(report->rows);
    free(report);
}

/* A reader that has seen enough (`| head`) or was never there (`>&-`) is no failure: the work is done. */
static hm_status flush(const hm_cli *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return HM_OK;
    if (errno == EBADF) cli->log->warn(cli->log, "standard output is closed: the report is shown nowhere");
    HM_REQUIRE(errno == EPIPE || errno == EBADF, HM_EOUTPUT,
               "standard output cannot be written: %s; only the report is lost, the results are stored",
               strerror(errno));
    return HM_OK;
}

hm_status hm_report_print(hm_report *report, const hm_cli *cli)
{
    HM_REQUIRE(report, HM_EINTERNAL, "out of memory: the report");
    bool broken = report->broken;
    if (cli->comm->rank == 0 && !broken) {
        if (cli->json)
            print_json(report);
        else if (!cli->quiet)
            print_table(report);
    }
    free_report(report);
    HM_REQUIRE(!broken, HM_EINTERNAL, "out of memory: the report");
    return flush(cli);
}

hm_status hm_report_finish(hm_report *report, const hm_cli *cli, hm_status status)
{
    if (status == HM_OK) return hm_report_print(report, cli);
    if (report) free_report(report);
    return status;
}
