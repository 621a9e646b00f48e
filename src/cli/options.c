/* Options by table: parsing, and the help that is written from the same table. */
#include "cli/cli.h"

#include "cli/options.h"
#include "core/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* Is `given` (of `length` letters) one of the names in "--set|-s"? */
static bool is_named(const char *names, const char *given, size_t length)
{
    while (*names) {
        size_t name = strcspn(names, "|");
        if (name == length && strncmp(names, given, length) == 0) return true;
        names += name + (names[name] == '|');
    }
    return false;
}

static const hm_option *find_option(const hm_command *command, const char *given, size_t length)
{
    for (const hm_option *option = command->options; option->name; option++)
        if (is_named(option->name, given, length)) return option;
    return NULL;
}

static hm_status refuse_option(const hm_command *command, const char *given)
{
    char known[512] = "";
    size_t used = 0;
    for (const hm_option *option = command->options; option->name && used < sizeof known; option++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", option->name);
    return hm_fail(HM_EUSAGE, "%s: unknown option %s; known: %s--quiet, --json, --help", command->name, given, known);
}

/* ---- parsing ---------------------------------------------------------------------------------------------------- */

static hm_status set_int(const hm_option *option, int64_t *field, const char *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    HM_REQUIRE(end != value && *end == '\0' && errno == 0, HM_EUSAGE, "%s: '%s' is not an integer", option->name,
               value);
    *field = number;
    return HM_OK;
}

static hm_status set_option(const hm_option *option, void *options, const char *value)
{
    void *field = (char *)options + option->offset;
    switch (option->type) {
    case HM_OPT_FLAG: *(bool *)field = true; return HM_OK;
    case HM_OPT_TEXT: *(const char **)field = value; return HM_OK;
    case HM_OPT_INT: return set_int(option, field, value);
    case HM_OPT_TEXTS: break;
    }
    hm_texts *texts = field;
    texts->at[texts->count++] = value;
    return HM_OK;
}

/* A list of texts has room for as many as there are arguments. */
static hm_status make_room(const hm_command *command, int argc, void *options)
{
    for (const hm_option *option = command->options; option->name; option++) {
        if (option->type != HM_OPT_TEXTS) continue;
        hm_texts *texts = (hm_texts *)(void *)((char *)options + option->offset);
        HM_TRY(hm_alloc(&texts->at, argc, sizeof texts->at[0], "options"));
    }
    return HM_OK;
}

hm_status hm_options_parse(const hm_command *command, int argc, char **argv, void *options, int *positional)
{
    bool only_positional = false;
    *positional = 0;
    HM_TRY(make_room(command, argc, options));
    for (int at = 1; at < argc; at++) {
        char *given = argv[at];
        if (only_positional || given[0] != '-' || given[1] == '\0') {
            argv[(*positional)++] = given;
            continue;
        }
        if (strcmp(given, "--") == 0) {
            only_positional = true;
            continue;
        }
        size_t length = strcspn(given, "=");
        const char *value = given[length] == '=' ? given + length + 1 : NULL;
        const hm_option *option = find_option(command, given, length);
        if (!option) return refuse_option(command, given);
        HM_REQUIRE(option->type != HM_OPT_FLAG || !value, HM_EUSAGE, "%s takes no value", option->name);
        if (option->type != HM_OPT_FLAG && !value) {
            HM_REQUIRE(at + 1 < argc, HM_EUSAGE, "%s needs a value: %s", option->name, option->argument);
            value = argv[++at];
        }
        HM_TRY(set_option(option, options, value));
    }
    return HM_OK;
}

void hm_options_free(const hm_command *command, void *options)
{
    for (const hm_option *option = command->options; option->name; option++) {
        if (option->type != HM_OPT_TEXTS) continue;
        hm_texts *texts = (hm_texts *)(void *)((char *)options + option->offset);
        free(texts->at);
        *texts = (hm_texts){0};
    }
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static void print_option(const char *names, const char *argument, const char *describe)
{
    char left[64];
    snprintf(left, sizeof left, "%s%s%s", names, argument ? " " : "", argument ? argument : "");
    for (char *at = left; *at; at++)
        if (*at == '|') *at = ',';
    printf("  %-28s %s\n", left, describe);
}

void hm_print_help(const hm_command *command)
{
    printf("usage: harmonium %s %s\n\n%s\n\noptions:\n", command->name, command->usage, command->describe);
    for (const hm_option *option = command->options; option->name; option++)
        print_option(option->name, option->argument, option->describe);
    print_option("--quiet", NULL, "no progress and no table");
    print_option("--json", NULL, "one JSON object on stdout instead of the table");
    print_option("--help", NULL, "this text");
}
