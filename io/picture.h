/* Pictures: a grid of images as a PNG. */
#ifndef HM_PICTURE_H
#define HM_PICTURE_H

#include "core/matrix.h"
#include "core/status.h"

/* Rows of m (n, height * width), values in [0, 1] (others are clamped), as an 8-bit grey picture: a grid about as wide
 * as it is high, with separating lines, small images enlarged by a whole factor. Written under a temporary name, then
 * renamed. HM_EOUTPUT. Not collective. */
hm_status hm_picture_grid(const char *path, hm_matrix m, int64_t height, int64_t width);

/* May a picture be written there? HM_EUSAGE when something else is there. Not collective. */
hm_status hm_picture_check_output(const char *path);

#endif
