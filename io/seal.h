/* A seal: the digest of a whole file, as the last bytes of that file, so that damage anywhere is found before anything
 * of it is believed.
 *
 * It is one line of 64 bytes, "harmonium xxh3-128 " and 32 hexadecimal digits, padded with spaces: what
 * `head -c -64 FILE | xxh128sum` prints. HDF5 does not look behind the end of its own data. XXH3 (libxxhash) was taken
 * because it keeps up with memory; zlib's CRC-32 has too few bits for files of many gigabytes, and SHA-256 would cost
 * more time than writing the file. It guards against accidents, not against forgers.
 */
#ifndef HM_SEAL_H
#define HM_SEAL_H

#include "core/status.h"

#include <stdbool.h>

/* Adds the seal to a file that is not open; `name` stands for it in messages. HM_EOUTPUT. Not collective. */
hm_status hm_seal_add(const char *path, const char *name);

/* HM_EDATA when the file cannot be read, or is not as it was sealed. *sealed: it ends with a seal; HDF5 cuts the seal
 * off when another program opens the file for writing. Not collective. */
hm_status hm_seal_check(const char *path, bool *sealed);

#endif
