/* Files in folders that others may write in too: a name there may stand for anything, and anybody may make one.
 *
 * Reading takes regular files only; a named pipe is refused instead of waited for. Results are written under a
 * temporary name, NAME.tmp.0123456789abcdef with random digits, which is new (O_EXCL) and no link. The writer keeps a
 * lock on it, which the system drops with the process: a temporary file that nobody locks was left by a process that
 * was killed, and goes when the same NAME is written again.
 *
 * Nothing here is collective.
 */
#ifndef HM_FILES_H
#define HM_FILES_H

#include "core/status.h"

#include <stdbool.h>
#include <stdio.h>

/* Opens a regular file for reading. Fails with `refusal`. */
hm_status hm_file_open(const char *path, hm_status refusal, int *descriptor);

/* Do both names stand for the same file? */
bool hm_file_same(const char *one, const char *other);

/* hm_file_open as a stream; the caller closes it. */
hm_status hm_file_stream(const char *path, hm_status refusal, FILE **out);

/* Refuses to have an output replace what is not of its kind: passes when there is nothing under `path`, or a regular
 * file of which `ours` is true. `kind`: "data file". HM_EUSAGE. */
hm_status hm_file_check_output(const char *path, const char *kind, bool ours(const char *path));

/* Makes an empty temporary file for `path`, open for reading and writing and locked by *descriptor; files that killed
 * writers of `path` left are removed first. The caller frees *name, and closes *descriptor when the file has been
 * renamed or removed. HM_EOUTPUT. */
hm_status hm_temporary_make(const char *path, char **name, int *descriptor);

/* Removes the temporary files that this process has not renamed, and ends its turn. Safe in a handler of signals: for a
 * process that a signal ends. */
void hm_temporary_remove_all(void);

/* Gives the lock back: others may lock parts of the file, as MPI-IO does. */
void hm_temporary_unlock(int descriptor);

/* Waits until no other process holds the lock file `path`, and makes and holds it. Where the file system has no locks
 * nobody waits. HM_EOUTPUT. */
hm_status hm_file_take_turn(const char *path, int *descriptor);

/* Removes the lock file and lets the next one have its turn; descriptor: -1 when there was no turn. */
void hm_file_end_turn(const char *path, int descriptor);

/* Removes temporary files of `path` that nobody locks. `owned`: the folder is this process's alone, so that names of
 * earlier versions are taken too, and files whose locks cannot be asked for; elsewhere those must be a day old. */
void hm_temporary_sweep(const char *path, bool owned);

#endif
