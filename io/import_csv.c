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
    int64_t fields;       /* of a line, label and index among them */
    int64_t label_column; /* or -1 */
    int64_t index_column; /* or -1 */
    bool may_count;       /* nobody has said whether the first column is an index */
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

static bool is_text(csv_field field, const char *text)
{
    return strlen(text) == field.length && strncmp(text, field.at, field.length) == 0;
}

/* Is it what programs write for a value that is missing? */
static bool is_missing(csv_field field)
{
    static const char *const words[] = {"",     "NA",   "N/A",  "#N/A", "<NA>", "nan", "NaN", "NAN",
                                        "null", "NULL", "None", "none", "-",    ".",   "?"};
    for (size_t at = 0; at < sizeof words / sizeof words[0]; at++)
        if (is_text(field, words[at])) return true;
    return false;
}

/* A first column that has no name; pandas reads one as "Unnamed: 0". */
static bool is_unnamed(csv_field field) { return field.length == 0 || is_text(field, "Unnamed: 0"); }

/* As many fields as every line. */
static hm_status check_fields(const csv_source *csv, int64_t fields)
{
    bool names_rows = csv->header && csv->source.rows == 0 && fields == csv->fields + 1;
    HM_REQUIRE(fields == csv->fields, HM_EDATA, "%s:%lld: row has %lld columns, expected %lld%s", csv->path,
               (long long)csv->line_number, (long long)fields, (long long)csv->fields,
               names_rows ? " as in the header (R's write.table leaves out the name of its row names: write with "
                            "col.names = NA)"
                          : "");
    return HM_OK;
}

/* The numbers of the current line: values (fields without label and index) and the label, each may be NULL. */
static hm_status parse_line(csv_source *csv, float *values, int32_t *label)
{
    const char *at = csv->line;
    int64_t fields = count_fields(at);
    HM_TRY(check_fields(csv, fields));
    for (int64_t column = 0; column < fields; column++) {
        csv_field field = next_field(&at);
        double value;
        if (column == csv->index_column) continue;
        HM_REQUIRE(parse_number(field, &value) && is_decimal(field) && isfinite((float)(value * csv->scale)), HM_EDATA,
                   "%s:%lld: column %lld is '%.*s', not a finite decimal number%s", csv->path,
                   (long long)csv->line_number, (long long)column, field.length < 40 ? (int)field.length : 40, field.at,
                   is_missing(field) ? " (a missing value: fill it in, or take the row out)" : "");
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

enum { SURE = 3 }; /* columns or rows that count; 0,1 is as likely data */

/* What the fields of the first line are. */
typedef struct first_line {
    int64_t names, numbers;
    /* No value is missing, without an unnamed first column, and ... */
    bool numbered; /* every number is that of its column */
    bool counted;  /* the numbers are 0, 1, 2, ... or 1, 2, 3, ..., three or more */
} first_line;

static void look_at_number(first_line *line, csv_field field, double value, int64_t column, double *base)
{
    if (line->numbers == 0) *base = value;
    line->numbered &= strspn(field.at, "0123456789") >= field.length && value == (double)column;
    line->counted &= (*base == 0 || *base == 1) && value == *base + (double)line->numbers;
    line->numbers++;
}

static first_line look_at_first_line(const csv_source *csv)
{
    first_line line = {.numbered = true, .counted = true};
    const char *at = csv->line;
    int64_t first = 0;
    double base = 0;
    for (int64_t column = 0; column < csv->fields; column++) {
        csv_field field = next_field(&at);
        double value;
        if (column == 0 && is_unnamed(field)) first = 1;
        if (is_missing(field))
            line.numbered = line.counted = column < first && line.numbered;
        else if (parse_number(field, &value))
            look_at_number(&line, field, value, column - first, &base);
        else
            line.names++;
    }
    line.counted &= line.numbers >= SURE;
    return line;
}

/* Whether the first line is a header, by the rule in io/import.h; HM_EDATA where the rule leaves it open. */
static hm_status find_header(csv_source *csv, int wanted)
{
    csv->header = wanted == HM_CSV_HEADER_YES;
    if (wanted != HM_CSV_HEADER_AUTO) return HM_OK;
    first_line line = look_at_first_line(csv);
    bool columns = line.numbered && line.numbers >= SURE; /* as pandas writes */
    HM_REQUIRE(line.names + line.numbers > 0, HM_EDATA,
               "%s:%lld: has only missing values; take such rows out or fill them in, or, if it is a header, say "
               "--header yes",
               csv->path, (long long)csv->line_number);
    HM_REQUIRE(line.names == 0 || line.numbers == 0 || line.numbered || line.counted, HM_EDATA,
               "%s:%lld: is neither all numbers nor all names; say --header yes or --header no", csv->path,
               (long long)csv->line_number);
    HM_REQUIRE(line.names > 0 || columns || !(line.numbered || line.counted), HM_EDATA,
               "%s:%lld: '%s' can be a row or the numbers of the columns; say --header no or --header yes", csv->path,
               (long long)csv->line_number, csv->line);
    csv->header = line.names > 0 || columns;
    return HM_OK;
}

/* The column that `wanted` names, by its name in the header or its number from 0. */
static hm_status find_column(const csv_source *csv, const char *option, const char *wanted, int64_t *found)
{
    char *end;
    *found = -1;
    const char *at = csv->line;
    for (int64_t column = 0; csv->header && column < csv->fields; column++)
        if (is_text(next_field(&at), wanted)) *found = column;
    if (*found >= 0) return HM_OK;
    int64_t column = strtoll(wanted, &end, 10);
    HM_REQUIRE(end != wanted && *end == '\0' && column >= 0 && column < csv->fields, HM_EUSAGE,
               "%s: %s has no column '%s' (%lld columns%s)", option, csv->path, wanted, (long long)csv->fields,
               csv->header ? "" : ", no header");
    *found = column;
    return HM_OK;
}

/* The column that `wanted` says, or else an unnamed first one. */
static hm_status find_index_column(csv_source *csv, const char *wanted)
{
    const char *at = csv->line;
    csv->index_column = -1;
    csv->may_count = false;
    if (wanted && strcmp(wanted, "none") == 0) return HM_OK;
    if (wanted && strcmp(wanted, "auto") != 0) return find_column(csv, "--index-column", wanted, &csv->index_column);
    if (csv->header && is_unnamed(next_field(&at)))
        csv->index_column = 0;
    else
        csv->may_count = csv->label_column != 0;
    return HM_OK;
}

static hm_status read_head(csv_source *csv, const hm_csv_options *options)
{
    bool there;
    HM_TRY(next_line(csv, &there));
    HM_REQUIRE(there, HM_EDATA, "%s: holds no data", csv->path);
    csv->fields = count_fields(csv->line);
    csv->label_column = -1;
    HM_TRY(find_header(csv, options->header));
    if (options->label_column) HM_TRY(find_column(csv, "--label-column", options->label_column, &csv->label_column));
    HM_TRY(find_index_column(csv, options->index_column));
    HM_REQUIRE(csv->index_column < 0 || csv->index_column != csv->label_column, HM_EUSAGE,
               "%s: column %lld cannot be both labels and index; say --index-column none", csv->path,
               (long long)csv->label_column);
    csv->source.columns = csv->fields - (csv->label_column >= 0) - (csv->index_column >= 0);
    HM_REQUIRE(csv->source.columns > 0, HM_EDATA, "%s: has only the column of %s", csv->path,
               csv->label_column < 0   ? "the index"
               : csv->index_column < 0 ? "labels"
                                       : "labels and that of the index");
    return HM_OK;
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

/* Does the current line, that of `row`, begin with the number of the row, counted from the *base of row 0? */
static bool begins_with_count(const csv_source *csv, int64_t row, double *base)
{
    const char *at = csv->line;
    double value;
    if (!parse_number(next_field(&at), &value)) return false;
    if (row == 0) *base = value;
    return *base == floor(*base) && value == (double)row + *base;
}

static hm_status count_rows(csv_source *csv, int32_t **labels)
{
    bool there, counts = csv->may_count && csv->source.columns > 1;
    double base = 0;
    int64_t room = 0;
    HM_TRY(rewind_rows(csv));
    for (csv->source.rows = 0;; csv->source.rows++) {
        int32_t label = 0;
        HM_TRY(next_line(csv, &there));
        if (!there) break;
        HM_TRY(parse_line(csv, NULL, &label));
        counts = counts && begins_with_count(csv, csv->source.rows, &base);
        if (csv->label_column >= 0) HM_TRY(append_label(label, csv->source.rows, &room, labels));
    }
    HM_REQUIRE(csv->source.rows > 0, HM_EDATA, "%s: holds no data", csv->path);
    HM_REQUIRE(
        !counts || csv->source.rows < SURE, HM_EDATA,
        "%s: column 0 counts the rows, %.0f to %.0f; say --index-column 0 to leave it out, or --index-column none "
        "if it is data",
        csv->path, base, base + (double)(csv->source.rows - 1));
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
    out->header = csv->header;
    out->index_column = status == HM_OK ? csv->index_column : -1;
    if (status != HM_OK) hm_import_free(out);
    return status;
}
