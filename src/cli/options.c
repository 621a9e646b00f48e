/* Options by table: parsing, and the help that is written from the same table. */
#include "cli/cli.h"

#include "cli/options.h"
#include "core/closest.h"
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

/* The option that was probably meant by `given`, without a value; NULL when none is close. */
static const char *closest_option(const hm_command *command, const char *given, char *out, size_t size)
{
    static const char *const every[] = {"--quiet", "--json", "--help"};
    char name[64];
    *out = '\0';
    snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    hm_closest closest = hm_closest_to(name);
    for (const hm_option *option = command->options; option->name; option++) {
        char known[64];
        snprintf(known, sizeof known, "%.*s", (int)strcspn(option->name, "|"), option->name);
        if (hm_closest_offer(&closest, known)) snprintf(out, size, "%s", known);
    }
    for (size_t at = 0; at < sizeof every / sizeof every[0]; at++)
        if (hm_closest_offer(&closest, every[at])) snprintf(out, size, "%s", every[at]);
    return *out ? out : NULL;
}

static hm_status refuse_option(const hm_command *command, const char *given)
{
    char known[512] = "", name[64];
    size_t used = 0;
    const char *meant = closest_option(command, given, name, sizeof name);
    for (const hm_option *option = command->options; option->name && used < sizeof known; option++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", option->name);
    return hm_fail(HM_EUSAGE, "%s: unknown option %s; %s%s%sknown: %s--quiet, --json, --help", command->name, given,
                   meant ? "did you mean " : "", meant ? meant : "", meant ? "? " : "", known);
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

/* Is `text` rather the value of the key before it than another option or a file? */
static bool may_be_value(const char *text)
{
    const char *end = strrchr(text, '.');
    bool option = text[0] == '-' && !strchr("0123456789.", text[1]);
    return !option && !(end && (strcmp(end, ".yaml") == 0 || strcmp(end, ".yml") == 0));
}

/* Refuses KEY=VALUE that was cut by spaces: `rest` are the arguments behind `given`. */
static hm_status check_assignment(const hm_option *option, const char *given, int count, char **rest)
{
    size_t length = strcspn(given, "=");
    if (given[length] && given[length + 1]) return HM_OK;
    bool apart = !given[length] && count > 0 && strcmp(rest[0], "=") == 0; /* KEY = VALUE */
    const char *next = apart < count ? rest[apart] : NULL;
    bool value = next && may_be_value(next);
    if (given[length] && !value) return HM_OK; /* no value, which the key refuses in its own words */
    const char *meant = value ? next + (!apart && !given[length] && *next == '=') : "..."; /* KEY =VALUE */
    return hm_fail(HM_EUSAGE, "%s %s%s%s%s: must be %s, one argument without spaces, as %s %.*s=%s", option->name,
                   given, apart ? " =" : "", value ? " " : "", value ? next : "", option->argument, option->name,
                   (int)length, given, meant);
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
        if (option->argument && strcmp(option->argument, "KEY=VALUE") == 0)
            HM_TRY(check_assignment(option, value, argc - at - 1, argv + at + 1));
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
    if (find_option(command, "--set", strlen("--set")))
        printf(
            "\nKeys: RUN/config.yaml of every run has each with its value and meaning; docs/models.md and the files in "
            "examples/\nexplain them, and `harmonium train CONFIG.yaml --check` tells whether a file is good.\n");
}
