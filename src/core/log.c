#include "core/log.h"

static void no_progress(hm_log *log, const hm_progress *progress) { (void)log, (void)progress; }
static void no_text(hm_log *log, const char *message) { (void)log, (void)message; }

hm_log *hm_log_silent(void)
{
    static hm_log silent = {.progress = no_progress, .warn = no_text, .note = no_text};
    return &silent;
}
