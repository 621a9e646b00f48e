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

/* By itself, or by sections to which it gives defaults; one that is optional does only that. */
static bool is_used(const hm_run *run, const hm_section *section, const hm_setting *setting)
{
    if (!section->optional && is_read(run, section, setting)) return true;
    for (int at = 0; at < run->section_count; at++)
        if (run->sections[at].base_settings == section->settings && is_read(run, &run->sections[at], setting))
            return true;
    return false;
}

static hm_status refuse(const hm_run *run, const hm_section *section, const hm_setting *setting)
{
    const hm_stage *stage = stage_of(run, section);
    char key[96], needed[64];
    snprintf(key, sizeof key, "%s.%s", section->table.section, setting->key);
    if (section->optional)
        return hm_run_at_key(run, key, hm_fail(HM_EUSAGE, "no stage has a use for it (%s)", setting->describe));
    if (stage && !hm_objective_reads(stage->objective, setting->key))
        return hm_run_at_key(run, key,
                             hm_fail(HM_EUSAGE, "objective %s of family %s has no use for it (%s)",
                                     stage->objective->name, run->class->name, setting->describe));
    hm_setting_needed(&section->table, setting, needed, sizeof needed);
    return hm_run_at_key(run, key,
                         hm_fail(HM_EUSAGE, "does nothing without %s; leave it out, or set it to its default, %s",
                                 needed, setting->fallback));
}

hm_status hm_run_check_unused(hm_run *run)
{
    const char *complaint;
    for (int at = 0; at < run->section_count; at++) {
        const hm_section *section = &run->sections[at];
        for (const hm_setting *setting = section->table.entries; setting->key; setting++) {
            if (is_used(run, section, setting) || hm_setting_is_default(setting, section->settings)) continue;
            if (!section->base || !hm_setting_same(setting, section->base_settings, section->settings))
                return refuse(run, section, setting);
            HM_TRY(hm_setting_parse(setting, section->settings, setting->fallback, &complaint));
        }
    }
    return HM_OK;
}
