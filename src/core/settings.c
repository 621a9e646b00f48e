#include "core/settings.h"

#include "core/closest.h"
#include "core/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLAINT_BYTES = 320, LIST_MAX = 1 << 20 };
static _Thread_local char complaint_text[COMPLAINT_BYTES];

static void *field_of(const hm_setting *setting, void *settings) { return (char *)settings + setting->offset; }
static const void *field_in(const hm_setting *setting, const void *settings)
{
    return (const char *)settings + setting->offset;
}

/* ---- what is accepted ------------------------------------------------------------------------------------------- */

static void list_choices(const hm_setting *setting, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "one of: ");
    for (int choice = 0; setting->choices[choice] && used < size; choice++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", choice ? ", " : "", setting->choices[choice]);
}

void hm_setting_accepts(const hm_setting *setting, char *out, size_t size)
{
    switch (setting->type) {
    case HM_SET_INT: snprintf(out, size, "an integer between %.0f and %.0f", setting->min, setting->max); break;
    case HM_SET_REAL: snprintf(out, size, "a number between %g and %g", setting->min, setting->max); break;
    case HM_SET_BOOL: snprintf(out, size, "true or false"); break;
    case HM_SET_CHOICE: list_choices(setting, out, size); break;
    case HM_SET_TEXT: snprintf(out, size, "a text that is not empty"); break;
    case HM_SET_LIST: snprintf(out, size, "a list of words and numbers, as [dense 200, tanh]"); break;
    case HM_SET_REALS:
        snprintf(out, size, "a list of numbers between %g and %g, as [1, 1]", setting->min, setting->max);
        break;
    }
}

static hm_status refuse(const hm_setting *setting, const char **complaint)
{
    int used = snprintf(complaint_text, sizeof complaint_text, "must be ");
    hm_setting_accepts(setting, complaint_text + used, sizeof complaint_text - (size_t)used);
    *complaint = complaint_text;
    return HM_EUSAGE;
}

/* ---- parsing ---------------------------------------------------------------------------------------------------- */

static bool parse_real(const char *text, double *out)
{
    char *end;
    if (*text == '\0' || *text == ' ') return false;
    errno = 0;
    *out = strtod(text, &end);
    while (*end == ' ') end++;
    return *end == '\0' && isfinite(*out);
}

static hm_status parse_int(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    double value; /* through float64, so that 1e6 is an integer too; exact below 2^53 */
    if (!parse_real(text, &value) || value != floor(value) || !(value >= setting->min && value <= setting->max))
        return refuse(setting, complaint);
    *(int64_t *)field = (int64_t)value;
    return HM_OK;
}

static hm_status parse_number(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    double value;
    if (!parse_real(text, &value) || !(value >= setting->min && value <= setting->max))
        return refuse(setting, complaint);
    *(double *)field = value;
    return HM_OK;
}

static hm_status parse_bool(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) return refuse(setting, complaint);
    *(bool *)field = yes;
    return HM_OK;
}

static hm_status parse_choice(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    for (int choice = 0; setting->choices[choice]; choice++) {
        if (strcmp(setting->choices[choice], text) != 0) continue;
        *(int *)field = choice;
        return HM_OK;
    }
    return refuse(setting, complaint);
}

static hm_status parse_text(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    if (*text == '\0') return refuse(setting, complaint);
    char *copy;
    HM_TRY(hm_alloc(&copy, (int64_t)strlen(text) + 1, 1, setting->key));
    strcpy(copy, text);
    free(*(char **)field);
    *(char **)field = copy;
    return HM_OK;
}

/* "[a 1, b]", of letters that need no quotes in YAML. */
static hm_status parse_words(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- ,";
    size_t length = strlen(text);
    bool listed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (!listed || 1 + strspn(text + 1, letters) != length - 1) return refuse(setting, complaint);
    return parse_text(setting, field, text, complaint);
}

/* "[a, b, c]": one number between two commas. */
static bool parse_list(const hm_setting *setting, const char *text, hm_reals *list)
{
    const char *at = text + strspn(text, " ");
    if (*at++ != '[') return false;
    at += strspn(at, " ");
    while (*at && *at != ']') {
        char *end;
        double value = strtod(at, &end);
        if (end == at || !(value >= setting->min && value <= setting->max)) return false;
        list->at[list->count++] = value;
        at = end + strspn(end, " ");
        if (*at == ',')
            at += 1 + strspn(at + 1, " ");
        else if (*at != ']')
            return false;
    }
    return *at == ']' && at[1 + strspn(at + 1, " ")] == '\0';
}

static hm_status parse_reals(const hm_setting *setting, void *field, const char *text, const char **complaint)
{
    hm_reals list = {0}, *out = field;
    int64_t commas = 0;
    for (const char *at = text; *at; at++) commas += *at == ',';
    if (commas >= LIST_MAX) return refuse(setting, complaint);
    HM_TRY(hm_alloc(&list.at, commas + 1, sizeof(double), setting->key));
    if (!parse_list(setting, text, &list)) {
        free(list.at);
        return refuse(setting, complaint);
    }
    free(out->at);
    *out = list;
    return HM_OK;
}

static hm_status (*const parsers[])(const hm_setting *, void *, const char *, const char **) = {
    [HM_SET_INT] = parse_int,       [HM_SET_REAL] = parse_number, [HM_SET_BOOL] = parse_bool,
    [HM_SET_CHOICE] = parse_choice, [HM_SET_TEXT] = parse_text,   [HM_SET_REALS] = parse_reals,
    [HM_SET_LIST] = parse_words,
};

hm_status hm_setting_parse(const hm_setting *setting, void *settings, const char *text, const char **complaint)
{
    return parsers[setting->type](setting, field_of(setting, settings), text, complaint);
}

/* ---- writing back ----------------------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same number, in the form 1.0e-05: without a point YAML 1.1 has a text. */
static void format_real(double value, char *out, size_t size)
{
    char number[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        if (strtod(number, NULL) == value) break;
    }
    size_t mantissa = strcspn(number, "e");
    bool whole = number[mantissa] == 'e' && !memchr(number, '.', mantissa);
    snprintf(out, size, "%.*s%s%s", (int)mantissa, number, whole ? ".0" : "", number + mantissa);
}

static void format_reals(const hm_reals *list, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int64_t i = 0; i < list->count && used + 32 < size; i++) {
        char number[32];
        format_real(list->at[i], number, sizeof number);
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", number);
    }
    snprintf(out + used, size - used, "]");
}

void hm_setting_format(const hm_setting *setting, const void *settings, char *out, size_t size)
{
    const void *field = field_in(setting, settings);
    switch (setting->type) {
    case HM_SET_INT: snprintf(out, size, "%lld", (long long)*(const int64_t *)field); break;
    case HM_SET_REAL: format_real(*(const double *)field, out, size); break;
    case HM_SET_BOOL: snprintf(out, size, "%s", *(const bool *)field ? "true" : "false"); break;
    case HM_SET_CHOICE: snprintf(out, size, "%s", setting->choices[*(const int *)field]); break;
    case HM_SET_TEXT:
    case HM_SET_LIST: snprintf(out, size, "%s", *(char *const *)field ? *(char *const *)field : ""); break;
    case HM_SET_REALS: format_reals(field, out, size); break;
    }
}

static bool same_reals(const hm_reals *a, const hm_reals *b)
{
    if (a->count != b->count) return false;
    for (int64_t i = 0; i < a->count; i++)
        if (a->at[i] != b->at[i]) return false;
    return true;
}

bool hm_setting_same(const hm_setting *setting, const void *a, const void *b)
{
    const void *left = field_in(setting, a), *right = field_in(setting, b);
    switch (setting->type) {
    case HM_SET_INT: return *(const int64_t *)left == *(const int64_t *)right;
    case HM_SET_REAL: return *(const double *)left == *(const double *)right;
    case HM_SET_BOOL: return *(const bool *)left == *(const bool *)right;
    case HM_SET_CHOICE: return *(const int *)left == *(const int *)right;
    case HM_SET_TEXT:
    case HM_SET_LIST: break;
    case HM_SET_REALS: return same_reals(left, right);
    }
    const char *text = *(char *const *)left, *other = *(char *const *)right;
    return text && other ? strcmp(text, other) == 0 : text == other;
}

bool hm_setting_is_default(const hm_setting *setting, const void *settings)
{
    union {
        int64_t integer;
        double real;
        int choice;
        bool flag;
        char *text;
        hm_reals reals;
    } field = {0};
    hm_setting entries[] = {*setting, {.key = NULL}};
    const char *complaint;
    if (!setting->fallback) return false;
    entries[0].offset = 0;
    bool same = hm_setting_parse(entries, &field, setting->fallback, &complaint) == HM_OK &&
                hm_setting_same(entries, &field, field_in(setting, settings));
    hm_settings_free(&(hm_settings_table){"", entries}, &field);
    return same;
}

bool hm_setting_counts(const hm_settings_table *table, const hm_setting *setting, const void *settings)
{
    if (!setting->needs) return true;
    const hm_setting *other = hm_settings_find(table, setting->needs);
    const void *value = field_in(other, settings);
    return other->type == HM_SET_REAL ? *(const double *)value > 0 : *(const int *)value == setting->needed;
}

void hm_setting_needed(const hm_settings_table *table, const hm_setting *setting, char *out, size_t size)
{
    const hm_setting *other = hm_settings_find(table, setting->needs);
    snprintf(out, size, other->type == HM_SET_REAL ? "%s" : "%s: %s", other->key,
             other->type == HM_SET_REAL ? "" : other->choices[setting->needed]);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

hm_status hm_settings_default(const hm_settings_table *table, void *settings)
{
    for (const hm_setting *setting = table->entries; setting->key; setting++) {
        const char *complaint = "";
        if (!setting->fallback) continue;
        hm_status status = hm_setting_parse(setting, settings, setting->fallback, &complaint);
        HM_REQUIRE(status == HM_OK, HM_EINTERNAL, "the default of %s.%s, '%s', %s", table->section, setting->key,
                   setting->fallback, complaint);
    }
    return HM_OK;
}

static hm_status copy_text(const char *from, char **to)
{
    free(*to);
    *to = NULL;
    if (!from) return HM_OK;
    HM_TRY(hm_alloc(to, (int64_t)strlen(from) + 1, 1, "a setting"));
    memcpy(*to, from, strlen(from));
    return HM_OK;
}

static hm_status copy_list(const hm_reals *from, hm_reals *to)
{
    free(to->at);
    *to = (hm_reals){0};
    if (from->count == 0) return HM_OK;
    HM_TRY(hm_alloc(&to->at, from->count, sizeof(double), "a setting"));
    memcpy(to->at, from->at, (size_t)from->count * sizeof(double));
    to->count = from->count;
    return HM_OK;
}

hm_status hm_settings_copy(const hm_settings_table *table, const void *from, void *to)
{
    for (const hm_setting *setting = table->entries; setting->key; setting++) {
        const void *is = field_in(setting, from);
        void *field = field_of(setting, to);
        switch (setting->type) {
        case HM_SET_INT: *(int64_t *)field = *(const int64_t *)is; break;
        case HM_SET_REAL: *(double *)field = *(const double *)is; break;
        case HM_SET_BOOL: *(bool *)field = *(const bool *)is; break;
        case HM_SET_CHOICE: *(int *)field = *(const int *)is; break;
        case HM_SET_TEXT:
        case HM_SET_LIST: HM_TRY(copy_text(*(char *const *)is, field)); break;
        case HM_SET_REALS: HM_TRY(copy_list(is, field)); break;
        }
    }
    return HM_OK;
}

void hm_settings_free(const hm_settings_table *table, void *settings)
{
    for (const hm_setting *setting = table->entries; setting->key; setting++) {
        void *field = field_of(setting, settings);
        if (setting->type == HM_SET_TEXT || setting->type == HM_SET_LIST) {
            free(*(char **)field);
            *(char **)field = NULL;
        } else if (setting->type == HM_SET_REALS) {
            free(((hm_reals *)field)->at);
            *(hm_reals *)field = (hm_reals){0};
        }
    }
}

const hm_setting *hm_settings_find(const hm_settings_table *table, const char *key)
{
    for (const hm_setting *setting = table->entries; setting->key; setting++)
        if (strcmp(setting->key, key) == 0) return setting;
    return NULL;
}

const hm_setting *hm_settings_closest(const hm_settings_table *table, const char *key)
{
    const hm_setting *found = NULL;
    hm_closest closest = hm_closest_to(key);
    for (const hm_setting *setting = table->entries; setting->key; setting++)
        if (hm_closest_offer(&closest, setting->key)) found = setting;
    return found;
}
