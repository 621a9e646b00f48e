#include "cli/unused.h"

#include <stdio.h>

/* The stage of which a section has the settings that objectives read, or NULL. */
static const hm_stage *stage_of(const hm_run *run, const hm_section *section)
{
    if (!run->staged && section->settings == &run->contrast) return run->stages;
    for (int stage = 0; stage < run->stage_count; stage++)
        if (section->settings == &run->stages[stage].contrast) return &run->stages[stage];
    return NULL;
}

static bool is_read(const hm_run *run, const hm_section *section, const hm_setting *setting)
{
    const hm_stage *stage = stage_of(run, section);
    return hm_setting_counts(&section->table, setting, section->settings) &&
           (!stage || hm_objective_reads(stage->objective, setting->key));
}

enum { KEY_BYTES = 96 };

static void name_key(const hm_section *section, const hm_setting *setting, char key[KEY_BYTES])
{
    const char *name = section->table.section;
    snprintf(key, KEY_BYTES, "%s%s%s", name, *name ? "." : "", setting->key);
}

/* Has the heir, to which the section gives defaults, this one? In a file it may stand for others; --set means itself.
 */
static bool is_taken(const hm_run *run, const hm_section *section, const hm_section *heir, const hm_setting *setting)
{
    char key[KEY_BYTES];
    name_key(section, setting, key);
    return !hm_config_is_set(run->config, key) || hm_setting_same(setting, section->settings, heir->settings);
}

/* By the section itself (one that is optional only gives defaults), or by one that it gives them to. */
static bool is_used(const hm_run *run, const hm_section *section, const hm_setting *setting)
{
    if (!section->optional && is_read(run, section, setting)) return true;
    for (int at = 0; at < run->section_count; at++) {
        const hm_section *heir = &run->sections[at];
        if (heir->base_settings == section->settings && is_taken(run, section, heir, setting) &&
            is_used(run, heir, setting))
            return true;
    }
    return false;
}

static hm_status refuse(const hm_run *run, const hm_section *section, const hm_setting *setting, const char *key)
{
    const hm_stage *stage = stage_of(run, section);
    char needed[64];
    if (section->optional)
        return hm_run_at_key(run, key,
                             hm_fail(HM_EUSAGE, "no stage takes it: none has a use for it, or each has its own (%s)",
                                     setting->describe));
    if (stage && !hm_objective_reads(stage->objective, setting->key))
        return hm_run_at_key(run, key,
                             hm_fail(HM_EUSAGE, "objective %s of family %s has no use for it (%s)",
                                     stage->objective->name, run->class->name, setting->describe));
    hm_setting_needed(&section->table, setting, needed, sizeof needed);
    return hm_run_at_key(run, key,
                         hm_fail(HM_EUSAGE, "does nothing without %s; leave it out, or set it to its default, %s",
                                 needed, setting->fallback));
}

/* A setting that nothing uses. Nobody asked for it here when another section gave it, or the program itself wrote it
 * down before it was refused. */
static hm_status drop_or_refuse(hm_run *run, const hm_section *section, const hm_setting *setting)
{
    const char *complaint;
    char key[KEY_BYTES];
    name_key(section, setting, key);
    bool given = setting->fallback ? !hm_setting_is_default(setting, section->settings)
                                   : hm_config_get(run->config, key) != NULL;
    bool inherited = section->base && hm_setting_same(setting, section->base_settings, section->settings);
    if (!given) return HM_OK;
    if (!setting->fallback || (!inherited && (!run->stored || hm_config_is_set(run->config, key))))
        return refuse(run, section, setting, key);
    return hm_setting_parse(setting, section->settings, setting->fallback, &complaint);
}

hm_status hm_run_check_unused(hm_run *run)
{
    for (int at = 0; at < run->section_count; at++)
        for (const hm_setting *setting = run->sections[at].table.entries; setting->key; setting++)
            if (!is_used(run, &run->sections[at], setting)) HM_TRY(drop_or_refuse(run, &run->sections[at], setting));
    return HM_OK;
}
