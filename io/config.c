#include "io/config.h"

#include "core/closest.h"
#include "core/memory.h"
#include "core/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    KEY_BYTES = 128,
    TEXT_LIMIT = 1 << 20,
    ENTRIES_LIMIT = 1024,
    WHERE_BYTES = 512,
    DEPTH_LIMIT = 16,
    NAME_BYTES = 2 * KEY_BYTES
};

typedef struct entry {
    char key[KEY_BYTES]; /* "train.batch"; a top-level key has no point */
    char *value;         /* a scalar, or a list as "[a, b]"; owned */
    int line;            /* from 1; 0: from --set */
} entry;

struct hm_config {
    char *name;
    entry *entries;
    int count;
    char list[KEY_BYTES]; /* the section that is a list of mappings, or "" */
    int items;            /* of it */
};

/* ---- from YAML to entries --------------------------------------------------------------------------------------- */

static int line_of(const yaml_node_t *node) { return (int)node->start_mark.line + 1; }

static entry *find(const hm_config *config, const char *key)
{
    for (int at = 0; at < config->count; at++)
        if (strcmp(config->entries[at].key, key) == 0) return &config->entries[at];
    return NULL;
}

/* Takes over `value`. */
static hm_status add_entry(hm_config *config, const char *key, char *value, int line)
{
    if (config->count == ENTRIES_LIMIT || strlen(key) >= KEY_BYTES) {
        free(value);
        return hm_fail(HM_EUSAGE, "%s:%d: %s", config->name, line,
                       config->count == ENTRIES_LIMIT ? "more keys than any configuration has"
                                                      : "a key of more than 127 letters");
    }
    entry *added = &config->entries[config->count++];
    snprintf(added->key, sizeof added->key, "%s", key);
    added->value = value;
    added->line = line;
    return HM_OK;
}

static hm_status copy_text(const char *text, size_t length, char **out)
{
    HM_TRY(hm_alloc(out, (int64_t)length + 1, 1, "a configuration value"));
    memcpy(*out, text, length);
    return HM_OK;
}

/* Names of files may hold bytes that YAML has no place for: of other encodings than UTF-8, DEL, U+0080 to U+009F, line
 * ends. While a text is parsed, each such byte b is the character U+10F700 + b; bytes of these characters themselves
 * are, too. */
enum { STAND_IN = 0x10f700, STAND_IN_BYTES = 4 };

static bool is_yaml(uint32_t code)
{
    bool control = (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029; /* line ends of YAML 1.1, too */
    return !control && !(code >= STAND_IN && code <= STAND_IN + 0xff) && code != 0xfffe && code != 0xffff;
}

static hm_status stand_in(const char *text, char **out)
{
    HM_TRY(hm_alloc(out, STAND_IN_BYTES * (int64_t)strlen(text) + 1, 1, "a configuration"));
    char *to = *out;
    while (*text) {
        uint32_t code;
        int length = hm_utf8_length(text, &code);
        if (length > 0 && is_yaml(code)) {
            memcpy(to, text, (size_t)length);
            to += length;
            text += length;
            continue;
        }
        uint32_t other = STAND_IN + (unsigned char)*text++;
        *to++ = (char)0xf4;
        for (int shift = 12; shift >= 0; shift -= 6) *to++ = (char)(0x80 | (other >> shift & 0x3f));
    }
    *to = 0;
    return HM_OK;
}

/* Bytes in the place of what stood in for them. */
static void put_back(char *text)
{
    char *to = text;
    while (*text) {
        uint32_t code;
        int length = hm_utf8_length(text, &code);
        bool other = length == STAND_IN_BYTES && code >= STAND_IN && code <= STAND_IN + 0xff;
        if (length == 0) length = 1;
        if (other)
            *to++ = (char)(code - STAND_IN);
        else
            for (int byte = 0; byte < length; byte++) *to++ = text[byte];
        text += length;
    }
    *to = 0;
}

static hm_status scalar_text(const hm_config *config, const char *key, const yaml_node_t *node, char **out)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t length = node->data.scalar.length;
    HM_REQUIRE(!memchr(text, '\0', length), HM_EUSAGE, "%s:%d: %s: holds a zero byte", config->name, line_of(node),
               key);
    HM_TRY(copy_text(text, length, out));
    put_back(*out);
    return HM_OK;
}

/* A list of scalars as one text. */
static hm_status list_text(const hm_config *config, const char *key, yaml_document_t *document, const yaml_node_t *node,
                           char **out)
{
    size_t size = 3, used;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *value = yaml_document_get_node(document, *item);
        HM_REQUIRE(value && value->type == YAML_SCALAR_NODE, HM_EUSAGE, "%s:%d: %s: a list may hold only plain values",
                   config->name, line_of(node), key);
        size += value->data.scalar.length + 2;
        HM_REQUIRE(size <= TEXT_LIMIT, HM_EUSAGE, "%s:%d: %s: a list of more than 1 MiB", config->name, line_of(node),
                   key);
    }
    HM_TRY(hm_alloc(out, (int64_t)size, 1, "a configuration value"));
    used = (size_t)snprintf(*out, size, "[");
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
        used += (size_t)snprintf(*out + used, size - used, "%s%s", used > 1 ? ", " : "",
                                 (const char *)yaml_document_get_node(document, *item)->data.scalar.value);
    snprintf(*out + used, size - used, "]");
    put_back(*out);
    return HM_OK;
}

static hm_status add_value(hm_config *config, const char *key, yaml_document_t *document, const yaml_node_t *node,
                           int line)
{
    char *value = NULL;
    const entry *before = find(config, key);
    HM_REQUIRE(!before, HM_EUSAGE, "%s:%d: key '%s' is given twice (first in line %d)", config->name, line, key,
               before->line);
    HM_REQUIRE(node->type != YAML_MAPPING_NODE, HM_EUSAGE, "%s:%d: %s: sections are one level deep", config->name, line,
               key);
    if (node->type == YAML_SCALAR_NODE)
        HM_TRY(scalar_text(config, key, node, &value));
    else
        HM_TRY(list_text(config, key, document, node, &value));
    return add_entry(config, key, value, line);
}

static hm_status add_mapping(hm_config *config, const char *section, yaml_document_t *document,
                             const yaml_node_t *mapping);

/* A list whose first item is a mapping. */
static bool is_list_of_mappings(yaml_document_t *document, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE || node->data.sequence.items.start == node->data.sequence.items.top)
        return false;
    const yaml_node_t *first = yaml_document_get_node(document, *node->data.sequence.items.start);
    return first && first->type == YAML_MAPPING_NODE;
}

/* Its items as sections NAME.1, NAME.2, ... */
static hm_status add_list(hm_config *config, const char *name, yaml_document_t *document, const yaml_node_t *list)
{
    enum { ITEMS_MAX = 99 };
    HM_REQUIRE(!*config->list, HM_EUSAGE, "%s:%d: key '%s' is given twice", config->name, line_of(list), name);
    snprintf(config->list, sizeof config->list, "%s", name);
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++) {
        const yaml_node_t *mapping = yaml_document_get_node(document, *item);
        char section[KEY_BYTES];
        HM_REQUIRE(mapping && mapping->type == YAML_MAPPING_NODE, HM_EUSAGE,
                   "%s:%d: %s: every item must be a list of 'key: value'", config->name, line_of(list), name);
        HM_REQUIRE(config->items < ITEMS_MAX, HM_EUSAGE, "%s:%d: %s: more than %d items", config->name,
                   line_of(mapping), name, ITEMS_MAX);
        int length = snprintf(section, sizeof section, "%s.%d", name, ++config->items);
        HM_REQUIRE(length < KEY_BYTES, HM_EUSAGE, "%s:%d: a key of more than 127 letters", config->name, line_of(list));
        HM_TRY(add_mapping(config, section, document, mapping));
    }
    return HM_OK;
}

/* A section stands in the file once: of two, readers of YAML take the last. */
static hm_status check_new_section(const hm_config *config, const char *name, int line)
{
    size_t length = strlen(name);
    for (int at = 0; at < config->count; at++)
        HM_REQUIRE(strncmp(config->entries[at].key, name, length) != 0 || config->entries[at].key[length] != '.',
                   HM_EUSAGE, "%s:%d: section '%s' is given twice (first in line %d)", config->name, line, name,
                   config->entries[at].line);
    return HM_OK;
}

/* The pairs of a mapping; `section` is "" at the top. */
static hm_status add_mapping(hm_config *config, const char *section, yaml_document_t *document,
                             const yaml_node_t *mapping)
{
    HM_REQUIRE(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start <= ENTRIES_LIMIT, HM_EUSAGE,
               "%s:%d: more keys than any configuration has", config->name, line_of(mapping));
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        char name[KEY_BYTES];
        HM_REQUIRE(key->type == YAML_SCALAR_NODE, HM_EUSAGE, "%s:%d: a key must be a plain word", config->name,
                   line_of(key));
        int length =
            snprintf(name, sizeof name, "%s%s%s", section, *section ? "." : "", (const char *)key->data.scalar.value);
        HM_REQUIRE(length < KEY_BYTES, HM_EUSAGE, "%s:%d: a key of more than 127 letters", config->name, line_of(key));
        if (!*section && value->type == YAML_MAPPING_NODE) {
            HM_TRY(check_new_section(config, name, line_of(key)));
            HM_TRY(add_mapping(config, name, document, value));
        } else if (!*section && is_list_of_mappings(document, value)) {
            HM_TRY(add_list(config, name, document, value));
        } else {
            HM_TRY(add_value(config, name, document, value, line_of(key)));
        }
    }
    return HM_OK;
}

static hm_status refuse_yaml(const hm_config *config, const yaml_parser_t *parser)
{
    return hm_fail(HM_EUSAGE, "%s:%lu: not YAML: %s", config->name, (unsigned long)parser->problem_mark.line + 1,
                   parser->problem ? parser->problem : "unreadable");
}

static bool is_beginning(yaml_event_type_t type)
{
    return type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
}

static bool is_end(yaml_event_type_t type) { return type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT; }

/* Refuses what is nested deeply, for which libyaml takes minutes, and a second document. */
static hm_status check_events(const hm_config *config, yaml_parser_t *parser)
{
    int depth = 0, documents = 0;
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) return refuse_yaml(config, parser);
        unsigned long line = (unsigned long)event.start_mark.line + 1;
        depth += is_beginning(event.type) - is_end(event.type);
        documents += event.type == YAML_DOCUMENT_START_EVENT;
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        HM_REQUIRE(depth <= DEPTH_LIMIT, HM_EUSAGE,
                   "%s:%lu: nested more than %d deep; a configuration has sections, and "
                   "lists in them",
                   config->name, line, DEPTH_LIMIT);
        HM_REQUIRE(documents <= 1, HM_EUSAGE,
                   "%s:%lu: a second document begins here; a configuration is one: take the "
                   "line '---' out, or make a file of each",
                   config->name, line);
    }
    return HM_OK;
}

static hm_status load_document(hm_config *config, yaml_parser_t *parser)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document)) return refuse_yaml(config, parser);
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    hm_status status;
    if (!root)
        status = hm_fail(HM_EUSAGE, "%s: empty; a configuration has at least data.file, model.family and train.epochs",
                         config->name);
    else if (root->type != YAML_MAPPING_NODE)
        status = hm_fail(HM_EUSAGE, "%s:%d: a configuration is a list of 'key: value'", config->name, line_of(root));
    else
        status = add_mapping(config, "", &document, root);
    yaml_document_delete(&document);
    return status;
}

/* One of the two passes over the text. */
static hm_status pass(hm_config *config, const char *text, bool load)
{
    yaml_parser_t parser;
    HM_REQUIRE(yaml_parser_initialize(&parser), HM_EINTERNAL, "out of memory: a YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    hm_status status = load ? load_document(config, &parser) : check_events(config, &parser);
    yaml_parser_delete(&parser);
    return status;
}

hm_status hm_config_parse(const char *name, const char *text, hm_config **out)
{
    hm_config *config;
    char *parsed = NULL;
    *out = NULL;
    HM_REQUIRE(strlen(text) <= TEXT_LIMIT, HM_EUSAGE, "%s: larger than 1 MiB; not a configuration", name);
    HM_TRY(hm_alloc(&config, 1, sizeof *config, "a configuration"));
    hm_status status = copy_text(name, strlen(name), &config->name);
    if (status == HM_OK) status = hm_alloc(&config->entries, ENTRIES_LIMIT, sizeof(entry), "a configuration");
    if (status == HM_OK) status = stand_in(text, &parsed);
    if (status == HM_OK) status = pass(config, parsed, false);
    if (status == HM_OK) status = pass(config, parsed, true);
    free(parsed);
    if (status == HM_OK)
        *out = config;
    else
        hm_config_free(config);
    return status;
}

void hm_config_free(hm_config *config)
{
    if (!config) return;
    for (int at = 0; at < config->count; at++) free(config->entries[at].value);
    free(config->entries);
    free(config->name);
    free(config);
}

/* ---- single keys ------------------------------------------------------------------------------------------------ */

hm_status hm_config_set(hm_config *config, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char key[KEY_BYTES], *value;
    HM_REQUIRE(equals && equals > assignment && equals - assignment < KEY_BYTES, HM_EUSAGE,
               "--set %s: must be KEY=VALUE, as train.batch=64", assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    HM_TRY(copy_text(equals + 1, strlen(equals + 1), &value));
    entry *there = find(config, key);
    if (!there) return add_entry(config, key, value, 0);
    free(there->value);
    there->value = value;
    there->line = 0;
    return HM_OK;
}

const char *hm_config_get(const hm_config *config, const char *key)
{
    const entry *found = find(config, key);
    return found ? found->value : NULL;
}

int hm_config_count(const hm_config *config, const char *name)
{
    return strcmp(config->list, name) == 0 ? config->items : 0;
}

bool hm_config_is_set(const hm_config *config, const char *key)
{
    const entry *found = find(config, key);
    return found && found->line == 0;
}

const char *hm_config_where(const hm_config *config, const char *key)
{
    static _Thread_local char where[WHERE_BYTES];
    const entry *found = find(config, key);
    if (!found)
        snprintf(where, sizeof where, "%s: %s", config->name, key);
    else if (found->line == 0)
        snprintf(where, sizeof where, "--set %s", key);
    else
        snprintf(where, sizeof where, "%s:%d: %s", config->name, found->line, key);
    return where;
}

/* ---- into the sections' structs --------------------------------------------------------------------------------- */

/* "train.batch" is key `batch` of section `train`; returns the key, and whether the section's name is this. */
static const char *key_in_section(const char *key, const char *section)
{
    size_t length = strlen(section);
    if (length == 0) return strchr(key, '.') ? NULL : key;
    return strncmp(key, section, length) == 0 && key[length] == '.' ? key + length + 1 : NULL;
}

static size_t append(char *out, size_t size, size_t used, const char *format, const char *a, const char *b)
{
    return used < size ? used + (size_t)snprintf(out + used, size - used, format, a, b) : used;
}

/* The key of any section that is called as the last part of `given`; of several, that of the section spelt closest. */
static bool find_elsewhere(const char *given, const hm_section sections[], int count, char *out)
{
    const char *point = strrchr(given, '.'), *leaf = point ? point + 1 : given, *found = NULL;
    char section[KEY_BYTES];
    snprintf(section, sizeof section, "%.*s", point ? (int)(point - given) : 0, given);
    hm_closest closest = hm_closest_to(section);
    for (int at = 0; at < count; at++) {
        const char *name = sections[at].table.section;
        if (!hm_settings_find(&sections[at].table, leaf)) continue;
        if (hm_closest_offer(&closest, name) || !found) found = name;
    }
    if (found) snprintf(out, NAME_BYTES, "%s%s%s", found, *found ? "." : "", leaf);
    return found != NULL;
}

/* The key of any section that is spelt almost as the last part of `given`. */
static bool find_similar(const char *given, const hm_section sections[], int count, char *out)
{
    const char *point = strrchr(given, '.');
    hm_closest closest = hm_closest_to(point ? point + 1 : given);
    for (int at = 0; at < count; at++)
        for (const hm_setting *setting = sections[at].table.entries; setting->key; setting++)
            if (hm_closest_offer(&closest, setting->key))
                snprintf(out, NAME_BYTES, "%s%s%s", sections[at].table.section, *sections[at].table.section ? "." : "",
                         setting->key);
    return closest.word != NULL;
}

/* The key that was probably meant, in the given section, or with its section in another one. */
static bool suggest_key(const char *given, const hm_section sections[], int count, char *out)
{
    if (find_elsewhere(given, sections, count, out)) return true;
    for (int at = 0; at < count; at++) {
        const char *key = key_in_section(given, sections[at].table.section);
        const hm_setting *close = key ? hm_settings_closest(&sections[at].table, key) : NULL;
        if (!close) continue;
        snprintf(out, NAME_BYTES, "%s", close->key);
        return true;
    }
    return find_similar(given, sections, count, out);
}

/* The keys of the section of `given`, and the names of all sections. */
static void list_keys(const char *given, const hm_section sections[], int count, char *keys, size_t size, char *names,
                      size_t names_size)
{
    size_t used = 0, used_names = 0;
    for (int at = 0; at < count; at++) {
        const hm_settings_table *table = &sections[at].table;
        bool repeated = at > 0 && strcmp(table->section, sections[at - 1].table.section) == 0;
        if (*table->section && !repeated)
            used_names = append(names, names_size, used_names, "%s%s", used_names ? ", " : "", table->section);
        if (!key_in_section(given, table->section)) continue;
        for (const hm_setting *setting = table->entries; setting->key; setting++)
            used = append(keys, size, used, "%s%s", used ? ", " : "", setting->key);
    }
}

/* "did you mean 'x'? accepted: ..." of all sections called as the key's. */
static hm_status refuse_key(const hm_config *config, const entry *given, const hm_section sections[], int count)
{
    char accepted[1024] = "", names[256] = "", where[WHERE_BYTES], close[NAME_BYTES], meant[NAME_BYTES + 32] = "";
    list_keys(given->key, sections, count, accepted, sizeof accepted, names, sizeof names);
    if (suggest_key(given->key, sections, count, close)) snprintf(meant, sizeof meant, "; did you mean '%s'?", close);
    if (given->line)
        snprintf(where, sizeof where, "%s:%d", config->name, given->line);
    else
        snprintf(where, sizeof where, "--set");
    HM_REQUIRE(*accepted, HM_EUSAGE, "%s: unknown section of key '%s'%s%s sections: %s", where, given->key, meant,
               *meant ? "" : ";", names);
    return hm_fail(HM_EUSAGE, "%s: unknown key '%s'%s%s accepted: %s", where, given->key, meant, *meant ? "" : ";",
                   accepted);
}

static bool is_section(const char *name, const hm_section sections[], int count)
{
    for (int at = 0; at < count; at++)
        if (*name && strcmp(name, sections[at].table.section) == 0) return true;
    return false;
}

/* A section without keys, `train:`, sets nothing. */
static hm_status check_empty_section(const hm_config *config, const entry *given)
{
    static const char *const nothing[] = {"", "~", "null", "[]"};
    for (size_t at = 0; given->line && at < sizeof nothing / sizeof nothing[0]; at++)
        if (strcmp(given->value, nothing[at]) == 0) return HM_OK;
    return hm_fail(HM_EUSAGE,
                   "%s: is a section, and takes no value: set its keys, as %s.KEY=VALUE or below it in the file",
                   hm_config_where(config, given->key), given->key);
}

static hm_status fill_entry(const hm_config *config, const entry *given, const hm_section sections[], int count)
{
    if (is_section(given->key, sections, count)) return check_empty_section(config, given);
    for (int at = 0; at < count; at++) {
        const char *key = key_in_section(given->key, sections[at].table.section), *complaint = "";
        const hm_setting *setting = key ? hm_settings_find(&sections[at].table, key) : NULL;
        if (!setting) continue;
        hm_status status = hm_setting_parse(setting, sections[at].settings, given->value, &complaint);
        if (status == HM_EUSAGE)
            return hm_fail(HM_EUSAGE, "%s: '%s' - %s", hm_config_where(config, given->key), given->value, complaint);
        return status;
    }
    return refuse_key(config, given, sections, count);
}

static hm_status check_required(const hm_config *config, const hm_section *section)
{
    for (const hm_setting *setting = section->table.entries; setting->key; setting++) {
        char key[KEY_BYTES], base_key[KEY_BYTES], accepts[320];
        const char *name = section->table.section;
        if (setting->fallback || section->optional) continue;
        snprintf(key, sizeof key, "%s%s%s", name, *name ? "." : "", setting->key);
        snprintf(base_key, sizeof base_key, "%s.%s", section->base ? section->base : name, setting->key);
        hm_setting_accepts(setting, accepts, sizeof accepts);
        HM_REQUIRE(find(config, key) || find(config, base_key), HM_EUSAGE,
                   "%s: key '%s' is missing (%s); it must be %s", config->name, key, setting->describe, accepts);
    }
    return HM_OK;
}

static bool is_of(const entry *given, const hm_section *section)
{
    size_t length = strlen(section->table.section);
    return strncmp(given->key, section->table.section, length) == 0 && given->key[length] == '.';
}

/* Is the entry of a section that has its defaults from another one? "stages.1.epochs" may be, "train.epochs" is not. */
static bool has_base(const entry *given, const hm_section sections[], int count)
{
    for (int at = 0; at < count; at++)
        if (sections[at].base && is_of(given, &sections[at])) return true;
    return false;
}

/* Defaults, then what is given, of all tables of the section whose last one is sections[at]. */
static hm_status fill_section(const hm_config *config, const hm_section sections[], int count, int at)
{
    const char *name = sections[at].table.section;
    for (int table = at; table >= 0 && strcmp(sections[table].table.section, name) == 0; table--)
        if (sections[table].base)
            HM_TRY(hm_settings_copy(&sections[table].table, sections[table].base_settings, sections[table].settings));
    for (int given = 0; given < config->count; given++)
        if (is_of(&config->entries[given], &sections[at]))
            HM_TRY(fill_entry(config, &config->entries[given], sections, count));
    return HM_OK;
}

hm_status hm_config_fill(const hm_config *config, const hm_section sections[], int count)
{
    for (int at = 0; at < count; at++) HM_TRY(hm_settings_default(&sections[at].table, sections[at].settings));
    /* First what gives defaults to others, then those, in order: they may give some in their turn. */
    for (int at = 0; at < config->count; at++)
        if (!has_base(&config->entries[at], sections, count))
            HM_TRY(fill_entry(config, &config->entries[at], sections, count));
    for (int at = 0; at < count; at++) {
        bool is_last = at + 1 == count || strcmp(sections[at].table.section, sections[at + 1].table.section) != 0;
        if (sections[at].base && is_last) HM_TRY(fill_section(config, sections, count, at));
    }
    for (int at = 0; at < count; at++) HM_TRY(check_required(config, &sections[at]));
    return HM_OK;
}
