/* The configuration of a run: YAML, read by the tables of settings (core/settings.h).
 *
 * A file has top-level keys and sections one level deep (data, model, train, ais, ...); section "model" is read by the
 * table of the family that `model.family` names. A section may be a list of mappings (stages): its items are the
 * sections "stages.1", "stages.2", ... Every refusal names file, line, key and what is accepted:
 *
 *     rbm.yaml:12: train.batch: '4x' - must be an integer between 1 and 1000000
 *     rbm.yaml:9: unknown key 'train.lerning_rate'; did you mean 'learning_rate'? accepted: batch, epochs, ...
 *
 * Read with libyaml. libcyaml (1.3 in Debian 12) was weighed: it has neither ranges nor defaults and reports what is
 * wrong only as lines of a log, so a second table beside its schema would be needed; here there is one.
 */
#ifndef HM_CONFIG_H
#define HM_CONFIG_H

#include "core/settings.h"

/* A section to be filled: its table and its struct (zeroed). */
typedef struct hm_section {
    hm_settings_table table;
    void *settings;
    const char *base;          /* the section whose values are this one's defaults, by the same table; or NULL */
    const void *base_settings; /* ... and its struct; its section comes earlier */
    bool optional;             /* required keys may be missing: it only gives defaults to others */
} hm_section;

typedef struct hm_config hm_config;

/* Parses YAML text (`name` stands for the file in messages). HM_EUSAGE when it is not YAML, or not of the form above.
 * Not collective. */
hm_status hm_config_parse(const char *name, const char *text, hm_config **out);
void hm_config_free(hm_config *config);

/* --set KEY=VALUE: `train.batch=64`. Replaces or adds. HM_EUSAGE when it is not of that form. */
hm_status hm_config_set(hm_config *config, const char *assignment);

/* The value of one key as text ("model.family"), or NULL when the configuration does not have it. */
const char *hm_config_get(const hm_config *config, const char *key);

/* Items of the list that the file has as section `name`; 0 when it has none. */
int hm_config_count(const hm_config *config, const char *name);

/* Fills the sections: defaults, then the configuration. Refuses unknown sections and keys, repeated keys, missing
 * required ones, values that the tables do not accept. Several sections may share a name (train: general and loop);
 * their keys are then merged. */
hm_status hm_config_fill(const hm_config *config, const hm_section sections[], int count);

/* Was the value of this key given by hm_config_set? */
bool hm_config_is_set(const hm_config *config, const char *key);

/* "FILE:LINE: KEY" of a key for messages of cross-checks ("--set KEY" when it was set there, "FILE: KEY" when it
 * is a default); static buffer of the thread. */
const char *hm_config_where(const hm_config *config, const char *key);

/* The resolved configuration (every key of every section, with values in force and descriptions as comments) as YAML;
 * the caller frees it. */
hm_status hm_config_resolved(const hm_section sections[], int count, char **yaml);

#endif
