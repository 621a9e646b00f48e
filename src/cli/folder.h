/* RUN, the folder of a run: who may write in it, and what is in it. Rank 0 only; nothing here is collective.
 *
 * RUN/.lock is locked (fcntl) as long as somebody trains into RUN. The system drops the lock with the process, however
 * it ended, so a killed job leaves a file but no lock.
 */
#ifndef HM_FOLDER_H
#define HM_FOLDER_H

#include "core/log.h"
#include "core/status.h"

typedef struct hm_folder {
    const char *path; /* borrowed */
    int made;         /* folders that were made for it: itself, and those above that were not there */
    int lock;         /* descriptor of .lock */
} hm_folder;

/* Makes the folder, and those above it, if `make` and it is not there, locks it, and removes temporary files that a
 * killed job left. HM_EUSAGE naming host and process when somebody else has the lock, or when there is no such folder;
 * HM_EOUTPUT. */
hm_status hm_folder_open(const char *path, bool make, hm_log *log, hm_folder *out);

/* HM_EOUTPUT when hm_folder_open could not make the folder, or not write in it. Makes and locks nothing. */
hm_status hm_folder_check_place(const char *path);

/* Gives the lock back. */
void hm_folder_close(hm_folder *folder);

/* Is there a file of that name? Yes, too, where the system does not say: nothing may begin in its place. */
bool hm_folder_has(const hm_folder *folder, const char *name);

/* HM_EDATA when the folder holds a run whose training has not ended, so that there is no model.h5. */
hm_status hm_folder_check_finished(const char *path);

/* Does it hold anything of a run? A config.yaml that the program did not write is the user's, and no part of one. */
bool hm_folder_holds_run(const hm_folder *folder);

/* Removes what it holds of a run, and nothing else. HM_EOUTPUT. */
hm_status hm_folder_empty(const hm_folder *folder);

/* After a failure before anything was worth keeping: empties it if this run has written into it, and removes what was
 * made for it. */
void hm_folder_undo(hm_folder *folder, bool written);

/* Writes the run's configuration as config.yaml, or as config.resolved.yaml beside a config.yaml of the user's; *name
 * is which. HM_EOUTPUT. */
hm_status hm_folder_write_config(const hm_folder *folder, const char *yaml, const char **name);

/* The name of the run's configuration: which of the two is there. */
const char *hm_folder_config(const hm_folder *folder);

/* RUN/NAME; the caller frees it. */
hm_status hm_path_in(const char *folder, const char *name, char **out);

#endif
