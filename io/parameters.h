/* Packs in files: the tensors of a layout as datasets GROUP/NAME. Internal: for io/ .c files. */
#ifndef HM_PARAMETERS_H
#define HM_PARAMETERS_H

#include "core/pack.h"
#include "io/store.h"

/* Writes every tensor of the pack below `group` ("/parameters"). Not collective. */
hm_status hm_parameters_write(hm_store *store, const char *group, const hm_layout *layout, const float *pack);

/* Are they all there, each in its shape? HM_EDATA. Not collective. */
hm_status hm_parameters_check(hm_store *store, const char *group, const hm_layout *layout);

/* Reads them; padding stays as it is. HM_EDATA when one has another shape, or is missing. With taken (layout->count)
 * one may be missing: it says which were there. Not collective. */
hm_status hm_parameters_read(hm_store *store, const char *group, const hm_layout *layout, float *pack, bool taken[]);

#endif
