/* Settings as data: one table a subject, from which a configuration is read, checked, explained and written back.
 *
 * A struct of settings has a table of hm_setting beside it; io/config.c fills the struct from YAML, and every refusal
 * (unknown key, wrong type, out of range) names line, key and accepted values from the table alone. Cross-checks that a
 * table cannot say (a batch smaller than the shards) are made by the subject's own check function.
 */
#ifndef HM_SETTINGS_H
#define HM_SETTINGS_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef enum hm_setting_type {
    HM_SET_INT,    /* int64_t, between min and max inclusive */
    HM_SET_REAL,   /* double, between min and max inclusive; finite */
    HM_SET_BOOL,   /* bool: true or false */
    HM_SET_CHOICE, /* int, the index into choices; written as the choice's name */
    HM_SET_TEXT,   /* char *, owned by the settings (hm_settings_free) */
    HM_SET_REALS,  /* hm_reals, each between min and max; written as a YAML list */
    HM_SET_LIST,   /* char *, "[dense 200, tanh]": a YAML list of words and numbers, as a text; owned by the settings */
} hm_setting_type;

typedef struct hm_reals {
    int64_t count;
    double *at; /* owned by the settings */
} hm_reals;

typedef struct hm_setting {
    const char *key; /* below its section, e.g. "learning_rate" */
    hm_setting_type type;
    size_t offset; /* of the field in its struct */
    double min, max;
    const char *const *choices; /* NULL-terminated, HM_SET_CHOICE only */
    const char *fallback;       /* the default, as YAML text; NULL when the key must be given */
    const char *describe;       /* one line, with unit */
    bool free;                  /* what is trained does not depend on it: may change when a run goes on */
    const char *needs;          /* key of the same table, without which it does nothing: a choice, which must be ... */
    int needed;                 /* ... this one; or a number, which must be above 0. NULL: none */
} hm_setting;

/* Of a setting that does nothing unless a choice of the same table is this one, or a real number above 0. */
#define HM_NEEDS(KEY, CHOICE) .needs = #KEY, .needed = CHOICE

typedef struct hm_settings_table {
    const char *section;       /* e.g. "train"; "" for top-level keys */
    const hm_setting *entries; /* ends with .key = NULL */
} hm_settings_table;

/* Sets one field from its text; *complaint receives what was wrong with it and what is accepted, as
 * "must be an integer between 1 and 100", in a static buffer of the calling thread, and HM_EUSAGE is returned without
 * a message recorded. A list is given as "[a, b, c]". Not collective. */
hm_status hm_setting_parse(const hm_setting *setting, void *settings, const char *text, const char **complaint);

/* The field's value as YAML text into out (at least 64 bytes; lists and texts are cut to size). */
void hm_setting_format(const hm_setting *setting, const void *settings, char *out, size_t size);

/* Have both structs the same value? */
bool hm_setting_same(const hm_setting *setting, const void *a, const void *b);

/* Is it what it is when nobody sets it? Never, when it must be given. */
bool hm_setting_is_default(const hm_setting *setting, const void *settings);

/* Is the choice taken that it needs? And what that is, "sampler: pt", into out. */
bool hm_setting_counts(const hm_settings_table *table, const hm_setting *setting, const void *settings);
void hm_setting_needed(const hm_settings_table *table, const hm_setting *setting, char *out, size_t size);

/* What the setting accepts: "an integer between 1 and 100", "one of: cd, pcd, exact". */
void hm_setting_accepts(const hm_setting *setting, char *out, size_t size);

/* Gives every field its default (a required one its zero value). The struct must be zeroed before first use. */
hm_status hm_settings_default(const hm_settings_table *table, void *settings);

/* Every field of `from` into `to`, texts and lists as copies; `to` is as hm_settings_default leaves it, or zeroed. */
hm_status hm_settings_copy(const hm_settings_table *table, const void *from, void *to);

/* Frees texts and lists. */
void hm_settings_free(const hm_settings_table *table, void *settings);

/* The entry called `key`, or NULL; the closest entry by spelling for a suggestion, or NULL when none is close. */
const hm_setting *hm_settings_find(const hm_settings_table *table, const char *key);
const hm_setting *hm_settings_closest(const hm_settings_table *table, const char *key);

#endif
