#include "io/picture.h"

#include "core/memory.h"
#include "io/files.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE = 1,
    LINE_GREY = 96,
    ENLARGED_TO = 56 /* pixels a small image is enlarged to, at least */
};

typedef struct grid {
    int64_t images, height, width; /* of the images */
    int64_t across, down;          /* images */
    int64_t zoom, pixels_wide, pixels_high;
} grid;

/* About as wide as high: across^2 width = images height. */
static grid lay_out(int64_t images, int64_t height, int64_t width)
{
    int64_t larger = height > width ? height : width;
    grid g = {.images = images, .height = height, .width = width};
    g.zoom = larger >= ENLARGED_TO ? 1 : (ENLARGED_TO + larger - 1) / larger;
    g.across = (int64_t)ceil(sqrt((double)images * (double)height / (double)width));
    g.across = g.across < 1 ? 1 : g.across > images ? images : g.across;
    g.down = (images + g.across - 1) / g.across;
    g.pixels_wide = g.across * (width * g.zoom + LINE) + LINE;
    g.pixels_high = g.down * (height * g.zoom + LINE) + LINE;
    return g;
}

static unsigned char grey(float value)
{
    if (!(value > 0)) return 0; /* NaN too */
    return value >= 1 ? 255 : (unsigned char)(value * 255 + 0.5f);
}

static void draw_image(const grid *g, hm_matrix m, int64_t image, unsigned char *pixels)
{
    int64_t top = image / g->across * (g->height * g->zoom + LINE) + LINE;
    int64_t left = image % g->across * (g->width * g->zoom + LINE) + LINE;
    for (int64_t y = 0; y < g->height * g->zoom; y++)
        for (int64_t x = 0; x < g->width * g->zoom; x++)
            pixels[(top + y) * g->pixels_wide + left + x] =
                grey(m.at[image * m.columns + y / g->zoom * g->width + x / g->zoom]);
}

/* Closes the descriptor. */
static hm_status write_png(const char *path, int descriptor, const grid *g, const unsigned char *pixels)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_GRAY};
    png.width = (png_uint_32)g->pixels_wide;
    png.height = (png_uint_32)g->pixels_high;
    FILE *file = fdopen(descriptor, "wb");
    if (!file) close(descriptor);
    HM_REQUIRE(file, HM_EINTERNAL, "%s: out of memory", path);
    errno = 0;
    bool written =
        png_image_write_to_stdio(&png, file, 0, pixels, 0, NULL) && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int error = errno;
    written = fclose(file) == 0 && written;
    HM_REQUIRE(written, HM_EOUTPUT, "%s: cannot be written: %s", path, error ? strerror(error) : png.message);
    return HM_OK;
}

hm_status hm_picture_grid(const char *path, hm_matrix m, int64_t height, int64_t width)
{
    enum { PIXELS_MAX = 1 << 15 }; /* a side */
    char *temporary;
    int descriptor;
    unsigned char *pixels;
    HM_REQUIRE(m.rows > 0 && height > 0 && width > 0 && height * width == m.columns, HM_EINTERNAL,
               "a picture of %lld images of %lld x %lld from rows of %lld", (long long)m.rows, (long long)height,
               (long long)width, (long long)m.columns);
    grid g = lay_out(m.rows, height, width);
    HM_REQUIRE(g.pixels_wide <= PIXELS_MAX && g.pixels_high <= PIXELS_MAX, HM_EUSAGE,
               "%s: a picture of %lld x %lld pixels is too large; draw fewer images", path, (long long)g.pixels_wide,
               (long long)g.pixels_high);
    HM_TRY(hm_alloc(&pixels, g.pixels_wide * g.pixels_high, 1, "a picture"));
    memset(pixels, LINE_GREY, (size_t)(g.pixels_wide * g.pixels_high));
    for (int64_t image = 0; image < g.images; image++) draw_image(&g, m, image, pixels);
    hm_status status = hm_temporary_make(path, &temporary, &descriptor);
    if (status == HM_OK) {
        status = write_png(path, descriptor, &g, pixels);
        if (status == HM_OK && rename(temporary, path) != 0)
            status = hm_fail(HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
        if (status != HM_OK) unlink(temporary);
        free(temporary);
    }
    free(pixels);
    return status;
}

static bool is_picture(const char *path)
{
    enum { SIGNATURE = 8 };
    unsigned char start[SIGNATURE] = {0};
    FILE *file = fopen(path, "rb");
    bool whole = file && fread(start, 1, SIGNATURE, file) == SIGNATURE;
    if (file) fclose(file);
    return whole && png_sig_cmp(start, 0, SIGNATURE) == 0;
}

hm_status hm_picture_check_output(const char *path) { return hm_file_check_output(path, "picture", is_picture); }
