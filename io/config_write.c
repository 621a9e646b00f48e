/* The resolved configuration as YAML, which readers of YAML 1.1 (PyYAML, R's yaml) and 1.2 take for the same values. */
#include "core/memory.h"
#include "io/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts are quoted, so that any of them reads back as itself. */
static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', out);
        if ((unsigned char)*text < ' ')
            fprintf(out, "\\x%02x", (unsigned char)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static void write_setting(FILE *out, const char *indent, const hm_setting *setting, const void *settings, char *value,
                          size_t size)
{
    hm_setting_format(setting, settings, value, size);
    fprintf(out, "%s%s: ", indent, setting->key);
    if (setting->type == HM_SET_TEXT)
        write_text(out, value);
    else
        fputs(value, out);
    fprintf(out, "  # %s\n", setting->describe);
}

static size_t longest_value(const hm_section sections[], int count)
{
    size_t longest = 4096;
    for (int at = 0; at < count; at++)
        for (const hm_setting *setting = sections[at].table.entries; setting->key; setting++) {
            const void *field = (const char *)sections[at].settings + setting->offset;
            size_t size = 0;
            if (setting->type == HM_SET_REALS) size = (size_t)((const hm_reals *)field)->count * 32 + 64;
            bool text = setting->type == HM_SET_TEXT || setting->type == HM_SET_LIST;
            if (text && *(char *const *)field) size = strlen(*(char *const *)field) + 1;
            if (size > longest) longest = size;
        }
    return longest;
}

/* A list that was not given; it cannot be written as one. */
static bool is_absent(const hm_setting *setting, const void *settings)
{
    const void *field = (const char *)settings + setting->offset;
    if (setting->type == HM_SET_LIST) return !*(char *const *)field;
    return setting->type == HM_SET_REALS && ((const hm_reals *)field)->count == 0;
}

static void write_sections(FILE *out, const hm_section sections[], int count, char *value, size_t size)
{
    for (int at = 0; at < count; at++) {
        const hm_settings_table *table = &sections[at].table;
        if (sections[at].optional) continue; /* its values stand in the sections that had them as defaults */
        bool continued = at > 0 && strcmp(table->section, sections[at - 1].table.section) == 0;
        const char *item = strchr(table->section, '.');
        const char *indent = !*table->section ? "" : item ? "    " : "  ";
        bool first_key = !continued;
        if (item && strcmp(item, ".1") == 0 && first_key)
            fprintf(out, "%.*s:\n", (int)(item - table->section), table->section);
        else if (*table->section && !item && first_key)
            fprintf(out, "%s:\n", table->section);
        for (const hm_setting *setting = table->entries; setting->key; setting++) {
            if (is_absent(setting, sections[at].settings)) continue;
            write_setting(out, item && first_key ? "  - " : indent, setting, sections[at].settings, value, size);
            first_key = false;
        }
    }
}

hm_status hm_config_resolved(const hm_section sections[], int count, char **yaml)
{
    char *value;
    size_t size = longest_value(sections, count), bytes;
    *yaml = NULL;
    HM_TRY(hm_alloc(&value, (int64_t)size, 1, "a configuration value"));
    FILE *out = open_memstream(yaml, &bytes);
    if (out) {
        write_sections(out, sections, count, value, size);
        fclose(out);
    }
    free(value);
    HM_REQUIRE(out && *yaml, HM_EINTERNAL, "out of memory: the resolved configuration");
    return HM_OK;
}
