/* CSV: a pass over the file counts rows and columns and reads the labels; the rows are then read as they are asked for.
 */
#include "core/memory.h"
#include "io/files.h"
#include "io/import.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 1024 };

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* which some programs put before UTF-8 */

typedef struct csv_source {
    hm_source source; /* first: a csv_source is an hm_source */
    FILE *file;
    char path[PATH_BYTES];
    double scale;
    bool header;          /* the first line is one */
    int64_t fields;       /* of a line, the label among them */
    int64_t label_column; /* or -1 */
    int64_t line_number;
    int64_t next; /* row that is read next */
    char *line;   /* getline's */
    size_t room;
} csv_source;

/* ---- lines ------------------------------------------------------------------------------------------------------ */

/* The next line that is not blank, without its end; *there is false at the end of the file. */
static hm_status next_line(csv_source *csv, bool *there)
{
    *there = false;
    for (;;) {
        errno = 0;
        ssize_t length = getline(&csv->line, &csv->room, csv->file);
        HM_REQUIRE(length >= 0 || feof(csv->file), HM_EDATA, "%s: cannot be read: %s", csv->path, strerror(errno));
        if (length < 0) return HM_OK;
        if (csv->line_number++ == 0 && strncmp(csv->line, BYTE_ORDER_MARK, 3) == 0)
            memmove(csv->line, csv->line + 3, (size_t)(length -= 3) + 1);
        HM_REQUIRE(strlen(csv->line) == (size_t)length, HM_EDATA, "%s:%lld: holds a zero byte; not a CSV file",
                   csv->path, (long long)csv->line_number);
        while (length > 0 && strchr("\r\n \t", csv->line[length - 1])) csv->line[--length] = '\0';
        if (length > 0) break;
    }
    *there = true;
    return HM_OK;
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

typedef struct csv_field {
    const char *at;
    size_t length;
} csv_field;

/* The field that begins at *at, without quotes and white space around it; *at moves to the next one, or to the end of
 * the line. Commas between quotes belong to the field. */
static csv_field next_field(const char **at)
{
    csv_field field = {*at, 0};
    bool quoted = false;
    for (; field.at[field.length] && (quoted || field.at[field.length] != ','); field.length++)
        quoted ^= field.at[field.length] == '"';
    *at += field.length + (field.at[field.length] == ',');
    while (field.length > 0 && strchr(" \t\"", *field.at)) field.at++, field.length--;
    while (field.length > 0 && strchr(" \t\"", field.at[field.length - 1])) field.length--;
    return field;
}

/* One more than the commas outside quotes. */
static int64_t count_fields(const char *line)
{
    int64_t fields = 1;
    for (bool quoted = false; *line; line++) {
        quoted ^= *line == '"';
        fields += *line == ',' && !quoted;
    }
    return fields;
}

/* Is all of the field a number, of any kind that strtod knows? */
static bool parse_number(csv_field field, double *value)
{
    char *end;
    if (field.length == 0) return false;
    *value = strtod(field.at, &end);
    return end == field.at + field.length;
}

/* 0x1F is more likely a code than the value 31. */
static bool is_decimal(csv_field field) { return strspn(field.at, "+-.0123456789eE") >= field.length; }

static int64_t count_numbers(const char *line, int64_t fields)
{
    int64_t numbers = 0;
    double value;
    for (int64_t column = 0; column < fields; column++) numbers += parse_number(next_field(&line), &value);
    return numbers;
}

/* The numbers of the current line: values (fields - labels) and the label, each may be NULL. */
static hm_status parse_line(csv_source *csv, float *values, int32_t *label)
{
    const char *at = csv->line;
    int64_t fields = count_fields(at);
    HM_REQUIRE(fields == csv->fields, HM_EDATA, "%s:%lld: row has %lld columns, expected %lld", csv->path,
               (long long)csv->line_number, (long long)fields, (long long)csv->fields);
    for (int64_t column = 0; column < fields; column++) {
        csv_field field = next_field(&at);
        double value;
        HM_REQUIRE(parse_number(field, &value) && is_decimal(field) && isfinite((float)(value * csv->scale)), HM_EDATA,
                   "%s:%lld: column %lld is '%.*s', not a finite decimal number", csv->path,
                   (long long)csv->line_number, (long long)column, field.length < 40 ? (int)field.length : 40,
                   field.at);
        if (column != csv->label_column) {
            if (values) *values++ = (float)(value * csv->scale);
            continue;
        }
        HM_REQUIRE(value == floor(value) && fabs(value) <= INT32_MAX, HM_EDATA, "%s:%lld: label %g is not an integer",
                   csv->path, (long long)csv->line_number, value);
        if (label) *label = (int32_t)value;
    }
    return HM_OK;
}

/* ---- header ----------------------------------------------------------------------------------------------------- */

static hm_status find_label_column(csv_source *csv, const char *wanted)
{
    char *end;
    csv->label_column = -1;
    if (!wanted) return HM_OK;
    const char *at = csv->line;
    for (int64_t column = 0; csv->header && column < csv->fields; column++) {
        csv_field field = next_field(&at);
        if (strlen(wanted) == field.length && strncmp(wanted, field.at, field.length) == 0) csv->label_column = column;
    }
    if (csv->label_column >= 0) return HM_OK;
    int64_t column = strtoll(wanted, &end, 10);
    HM_REQUIRE(end != wanted && *end == '\0' && column >= 0 && column < csv->fields, HM_EUSAGE,
               "--label-column: %s has no column '%s' (%lld columns%s)", csv->path, wanted, (long long)csv->fields,
               csv->header ? "" : ", no header");
    csv->label_column = column;
    return HM_OK;
}

static hm_status read_head(csv_source *csv, const hm_csv_options *options)
{
    bool there;
    HM_TRY(next_line(csv, &there));
    HM_REQUIRE(there, HM_EDATA, "%s: holds no data", csv->path);
    csv->fields = count_fields(csv->line);
    int64_t numbers = count_numbers(csv->line, csv->fields);
    HM_REQUIRE(options->header != HM_CSV_HEADER_AUTO || numbers == 0 || numbers == csv->fields, HM_EDATA,
               "%s:%lld: is neither all numbers nor all names; say --header yes or --header no", csv->path,
               (long long)csv->line_number);
    csv->header = options->header == HM_CSV_HEADER_YES || (options->header == HM_CSV_HEADER_AUTO && numbers == 0);
    csv->source.columns = csv->fields - (options->label_column ? 1 : 0);
    HM_REQUIRE(csv->source.columns > 0, HM_EDATA, "%s: has only the column of labels", csv->path);
    return find_label_column(csv, options->label_column);
}

/* To the first line with data. */
static hm_status rewind_rows(csv_source *csv)
{
    bool there = true;
    HM_REQUIRE(fseek(csv->file, 0, SEEK_SET) == 0, HM_EDATA, "%s: must be a file that can be read twice: %s", csv->path,
               strerror(errno));
    csv->line_number = csv->next = 0;
    return csv->header ? next_line(csv, &there) : HM_OK;
}

/* ---- the two passes --------------------------------------------------------------------------------------------- */

static hm_status append_label(int32_t label, int64_t row, int64_t *room, int32_t **labels)
{
    if (row == *room) {
        int64_t more = *room ? 2 * *room : 4096;
        int32_t *grown = realloc(*labels, (size_t)more * sizeof **labels);
        HM_REQUIRE(grown, HM_EINTERNAL, "out of memory: labels");
        *labels = grown;
        *room = more;
    }
    (*labels)[row] = label;
    return HM_OK;
}

static hm_status count_rows(csv_source *csv, int32_t **labels)
{
    bool there;
    int64_t room = 0;
    HM_TRY(rewind_rows(csv));
    for (csv->source.rows = 0;; csv->source.rows++) {
        int32_t label = 0;
        HM_TRY(next_line(csv, &there));
        if (!there) break;
        HM_TRY(parse_line(csv, NULL, &label));
        if (csv->label_column >= 0) HM_TRY(append_label(label, csv->source.rows, &room, labels));
    }
    HM_REQUIRE(csv->source.rows > 0, HM_EDATA, "%s: holds no data", csv->path);
    return rewind_rows(csv);
}

static hm_status csv_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    csv_source *csv = (csv_source *)source;
    bool there;
    if (begin < csv->next) HM_TRY(rewind_rows(csv));
    for (; csv->next < begin + count; csv->next++) {
        HM_TRY(next_line(csv, &there));
        HM_REQUIRE(there, HM_EDATA, "%s: has become shorter while it was read", csv->path);
        if (csv->next >= begin) HM_TRY(parse_line(csv, (float *)out + (csv->next - begin) * source->columns, NULL));
    }
    return HM_OK;
}

static void csv_close(hm_source *source)
{
    csv_source *csv = (csv_source *)source;
    if (csv->file) fclose(csv->file);
    free(csv->line);
    free(csv);
}

hm_status hm_csv_open(const char *path, const hm_csv_options *options, hm_import *out)
{
    csv_source *csv;
    *out = (hm_import){0};
    HM_TRY(hm_alloc(&csv, 1, sizeof *csv, "a CSV file"));
    csv->source = (hm_source){.type = HM_FLOAT32, .unit = 1, .read = csv_read, .close = csv_close};
    csv->scale = options->scale != 0 ? options->scale : 1;
    snprintf(csv->path, sizeof csv->path, "%s", path);
    hm_status status = hm_file_stream(path, HM_EDATA, &csv->file);
    *out = (hm_import){.source = &csv->source, .name = csv->path};
    if (status == HM_OK) status = read_head(csv, options);
    if (status == HM_OK) status = count_rows(csv, &out->labels);
    if (status != HM_OK) hm_import_free(out);
    return status;
}
