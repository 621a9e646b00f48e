#include "cli/trained.h"

#include <stdio.h>
#include <string.h>

/* ---- what --set may change --------------------------------------------------------------------------------------- */

static const char advice[] =
    "the model was trained with it, and with another value it is another machine; settings of estimates (ais, "
    "importance, generation), seed, shards, threads, timeout and data.file may be set here";

/* Settings that change nothing of what was trained. Those of checkpoints are for training alone. */
static bool may_change(const hm_settings_table *table, const hm_setting *setting)
{
    bool general = !*table->section;
    if (strcmp(table->section, "checkpoint") == 0) return false;
    return setting->free || (general && (!strcmp(setting->key, "seed") || !strcmp(setting->key, "shards")));
}

hm_status hm_trained_check_texts(const hm_texts *sets)
{
    static const char family[] = "model.family=";
    for (int set = 0; sets && set < sets->count; set++)
        HM_REQUIRE(strncmp(sets->at[set], family, sizeof family - 1) != 0, HM_EUSAGE, "--set model.family: %s", advice);
    return HM_OK;
}

hm_status hm_trained_check_sets(const hm_run *run)
{
    for (int section = 0; section < run->section_count; section++) {
        const hm_settings_table *table = &run->sections[section].table;
        for (const hm_setting *setting = table->entries; setting->key; setting++) {
            char key[96];
            snprintf(key, sizeof key, "%s%s%s", table->section, *table->section ? "." : "", setting->key);
            if (hm_config_is_set(run->config, key) && !may_change(table, setting))
                return hm_run_at_key(run, key, hm_fail(HM_EUSAGE, "%s", advice));
        }
    }
    return HM_OK;
}
