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
    bool made;        /* was not there before */
    int lock;         /* descriptor of .lock */
} hm_folder;

/* Makes the folder if `make` and it is not there, locks it, and removes temporary files that a killed job left.
 * HM_EUSAGE naming host and process when somebody else has the lock, or when there is no such folder; HM_EOUTPUT. */
hm_status hm_folder_open(const char *path, bool make, hm_log *log, hm_folder *out);

/* Gives the lock back. */
void hm_folder_close(hm_folder *folder);

/* Is there a file of that name? */
bool hm_folder_has(const hm_folder *folder, const char *name);

/* HM_EDATA when the folder holds a run whose training has not ended: config.yaml, the first file, and no model.h5. */
hm_status hm_folder_check_finished(const char *path);

/* Does it hold anything of a run? */
bool hm_folder_holds_run(const hm_folder *folder);

/* Removes what it holds of a run, and nothing else. HM_EOUTPUT. */
hm_status hm_folder_empty(const hm_folder *folder);

/* Empties it, and removes it if it was made: after a failure before anything was worth keeping. */
void hm_folder_undo(hm_folder *folder);

/* A text file, under a temporary name, then renamed. HM_EOUTPUT. */
hm_status hm_folder_write(const hm_folder *folder, const char *name, const char *text);

/* RUN/NAME; the caller frees it. */
hm_status hm_path_in(const char *folder, const char *name, char **out);

#endif
