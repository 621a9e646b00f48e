/* Data that needs no download: digits drawn with random strokes, bars and stripes, and a
 * ring of Gaussians. */
#include "core/memory.h"
#include "core/rng.h"
#include "io/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1000000000 };

typedef struct synth_source {
    hm_source source; /* first: a synth_source is an hm_source */
    hm_stream stream;
    int64_t first_row;
    int64_t modes; /* of a ring */
    void (*draw)(const struct synth_source *synth, int64_t row, unsigned char *out);
} synth_source;

static double uniform(const hm_stream *stream, int64_t row, int64_t column, double low, double high)
{
    return low + (high - low) * (double)hm_random_uniform(stream, row, column);
}

/* ---- digits ----------------------------------------------------------------------------------------------------- */

enum { SIDE = 28, POINTS = 14, CURVE_POINTS = 8 * POINTS, DIGITS = 10 };

typedef struct point {
    double x, y;
} point;

/* Each digit is one line through these points of the unit square (x to the right, y down); corners are rounded where
 * `rounded` says so. */
static const struct glyph {
    int count;
    bool rounded;
    point at[POINTS];
} glyphs[DIGITS] = {
    /* clang-format off */
    {11, true, {{.5, .06}, {.3, .14}, {.22, .36}, {.22, .64}, {.3, .86}, {.5, .94}, {.7, .86}, {.78, .64}, {.78, .36}, {.7, .14}, {.48, .06}}},
    {3, false, {{.36, .26}, {.55, .08}, {.55, .92}}},
    {9, true, {{.22, .3}, {.3, .12}, {.5, .05}, {.7, .12}, {.76, .3}, {.68, .48}, {.45, .68}, {.2, .92}, {.82, .92}}},
    {11, true, {{.24, .16}, {.42, .05}, {.62, .07}, {.75, .22}, {.68, .4}, {.44, .47}, {.7, .55}, {.79, .74}, {.64, .91}, {.42, .95}, {.21, .84}}},
    {4, false, {{.62, .94}, {.62, .06}, {.2, .64}, {.84, .64}}},
    {9, true, {{.76, .08}, {.3, .08}, {.26, .48}, {.5, .38}, {.72, .48}, {.78, .68}, {.66, .89}, {.44, .95}, {.2, .85}}},
    {10, true, {{.68, .07}, {.45, .2}, {.29, .44}, {.24, .7}, {.38, .93}, {.62, .94}, {.76, .76}, {.67, .55}, {.45, .51}, {.27, .66}}},
    {4, false, {{.2, .08}, {.8, .08}, {.56, .5}, {.42, .94}}},
    {13, true, {{.5, .47}, {.29, .36}, {.28, .16}, {.5, .05}, {.72, .16}, {.71, .36}, {.5, .47}, {.25, .61}, {.25, .85}, {.5, .95}, {.75, .85}, {.75, .61}, {.48, .46}}},
    {9, true, {{.72, .34}, {.54, .49}, {.32, .42}, {.26, .22}, {.42, .06}, {.64, .08}, {.74, .26}, {.71, .52}, {.6, .95}}},
    /* clang-format on */
};

/* Cuts every corner at a quarter of its sides (Chaikin 1974); the ends stay. */
static int round_corners(const point *from, int count, point *to)
{
    int made = 0;
    to[made++] = from[0];
    for (int i = 0; i + 1 < count; i++) {
        point a = from[i], b = from[i + 1];
        if (i > 0) to[made++] = (point){.75 * a.x + .25 * b.x, .75 * a.y + .25 * b.y};
        if (i + 2 < count) to[made++] = (point){.25 * a.x + .75 * b.x, .25 * a.y + .75 * b.y};
    }
    to[made++] = from[count - 1];
    return made;
}

/* The digit's line in pixels: points shaken, then turned, slanted, sized and placed at random. */
static int place_digit(const hm_stream *stream, int64_t row, const struct glyph *glyph, point *line)
{
    double turn = uniform(stream, row, 1, -.15, .15), slant = uniform(stream, row, 2, -.25, .3);
    double wide = uniform(stream, row, 3, 15, 20), high = uniform(stream, row, 4, 18, 22);
    double left = uniform(stream, row, 5, -1.5, 1.5), down = uniform(stream, row, 6, -1.5, 1.5);
    point rounded[CURVE_POINTS];
    for (int i = 0; i < glyph->count; i++) {
        double x = glyph->at[i].x - .5 + uniform(stream, row, 16 + 2 * i, -.035, .035);
        double y = glyph->at[i].y - .5 + uniform(stream, row, 17 + 2 * i, -.035, .035);
        x = (x - slant * y) * wide;
        y *= high;
        line[i] =
            (point){SIDE / 2. + left + x * cos(turn) - y * sin(turn), SIDE / 2. + down + x * sin(turn) + y * cos(turn)};
    }
    int count = glyph->count;
    for (int pass = 0; glyph->rounded && pass < 2; pass++) {
        int made = round_corners(line, count, rounded);
        memcpy(line, rounded, (size_t)made * sizeof line[0]);
        count = made;
    }
    return count;
}

/* The square of it, so that one root a pixel is enough. */
static double square_distance(point p, point a, point b)
{
    double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    double t = length > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    double x = p.x - a.x - t * dx, y = p.y - a.y - t * dy;
    return x * x + y * y;
}

static int digit_of(const hm_stream *stream, int64_t row) { return (int)hm_random_below(stream, row, 0, DIGITS); }

static void draw_digit(const synth_source *synth, int64_t row, unsigned char *out)
{
    point line[CURVE_POINTS];
    int count = place_digit(&synth->stream, row, &glyphs[digit_of(&synth->stream, row)], line);
    double thickness = uniform(&synth->stream, row, 7, .9, 1.7), softness = .8;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double nearest = SIDE * SIDE;
            for (int i = 0; i + 1 < count; i++) {
                double distance = square_distance((point){x + .5, y + .5}, line[i], line[i + 1]);
                if (distance < nearest) nearest = distance;
            }
            double ink = .5 + (thickness - sqrt(nearest)) / (2 * softness);
            out[y * SIDE + x] = (unsigned char)(255 * (ink < 0 ? 0 : ink > 1 ? 1 : ink) + .5);
        }
}

/* ---- bars and stripes ------------------------------------------------------------------------------------------- */

static void draw_bars(const synth_source *synth, int64_t row, unsigned char *out)
{
    int64_t side = synth->source.height;
    bool stripes = hm_random_below(&synth->stream, row, 0, 2) == 1;
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            int64_t line = stripes ? y : x;
            out[y * side + x] = hm_random_below(&synth->stream, row, 1 + line, 2) ? 255 : 0;
        }
}

/* The row's bits say which lines are inked, and above them whether they are stripes: every choice in turn. */
static void draw_each_bars(const synth_source *synth, int64_t row, unsigned char *out)
{
    int64_t side = synth->source.height;
    bool stripes = (row >> side & 1) == 1;
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) out[y * side + x] = row >> (stripes ? y : x) & 1 ? 255 : 0;
}

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static hm_status synth_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    const synth_source *synth = (const synth_source *)source;
    for (int64_t row = 0; row < count; row++)
        synth->draw(synth, synth->first_row + begin + row, (unsigned char *)out + row * source->columns);
    return HM_OK;
}

static void synth_close(hm_source *source) { free(source); }

static hm_status make(uint64_t seed, uint64_t step, int64_t first_row, int64_t rows, int64_t side,
                      void (*draw)(const synth_source *, int64_t, unsigned char *), synth_source **out)
{
    HM_REQUIRE(rows >= 1 && rows <= ROWS_MAX, HM_EUSAGE, "a generator makes at least 1 row and at most %d, not %lld",
               ROWS_MAX, (long long)rows);
    HM_TRY(hm_alloc(out, 1, sizeof **out, "a generator"));
    (*out)->source = (hm_source){.rows = rows,
                                 .columns = side * side,
                                 .type = HM_UINT8,
                                 .height = side,
                                 .width = side,
                                 .read = synth_read,
                                 .close = synth_close};
    (*out)->stream = (hm_stream){seed, HM_RNG_SYNTH, step};
    (*out)->first_row = first_row;
    (*out)->draw = draw;
    return HM_OK;
}

hm_status hm_synth_digits(uint64_t seed, int64_t first_row, int64_t rows, hm_import *out)
{
    synth_source *synth;
    *out = (hm_import){0};
    HM_TRY(make(seed, HM_SYNTH_DIGITS, first_row, rows, SIDE, draw_digit, &synth));
    hm_status status = hm_alloc(&out->labels, rows, sizeof(int32_t), "labels");
    if (status != HM_OK) {
        synth_close(&synth->source);
        return status;
    }
    for (int64_t row = 0; row < rows; row++) out->labels[row] = digit_of(&synth->stream, first_row + row);
    out->source = &synth->source;
    return HM_OK;
}

hm_status hm_synth_bars(uint64_t seed, int64_t first_row, int64_t rows, int64_t side, hm_import *out)
{
    enum { SIDE_MAX = 64, EACH_SIDE_MAX = 20 };
    synth_source *synth;
    *out = (hm_import){0};
    bool each = rows == 0;
    int64_t most = each ? EACH_SIDE_MAX : SIDE_MAX;
    HM_REQUIRE(side >= 2 && side <= most, HM_EUSAGE, "%s have a side between 2 and %lld, not %lld",
               each ? "all bars and stripes" : "bars and stripes", (long long)most, (long long)side);
    if (each) rows = (int64_t)2 << side;
    HM_TRY(make(seed, HM_SYNTH_BARS, first_row, rows, side, each ? draw_each_bars : draw_bars, &synth));
    out->source = &synth->source;
    return HM_OK;
}

/* ---- a ring of Gaussians ------------------------------------------------------------------------------------------
 */

enum { RING_MODES_MAX = 1000 };
static const double RING_RADIUS = 2, RING_DEVIATION = 0.05;

/* Which mode a row is of: they take turns, so that all have as many rows. */
static int32_t mode_of(int64_t row, int64_t modes) { return (int32_t)(row % modes); }

static hm_status ring_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    const synth_source *synth = (const synth_source *)source;
    float *x = out;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = synth->first_row + begin + i;
        double angle = 6.283185307179586 * mode_of(row, synth->modes) / (double)synth->modes;
        x[2 * i] = (float)(RING_RADIUS * cos(angle) + RING_DEVIATION * hm_random_normal(&synth->stream, row, 0));
        x[2 * i + 1] = (float)(RING_RADIUS * sin(angle) + RING_DEVIATION * hm_random_normal(&synth->stream, row, 1));
    }
    return HM_OK;
}

hm_status hm_synth_ring(uint64_t seed, int64_t first_row, int64_t rows, int64_t modes, hm_import *out)
{
    synth_source *synth;
    *out = (hm_import){0};
    HM_REQUIRE(modes >= 2 && modes <= RING_MODES_MAX, HM_EUSAGE, "a ring has between 2 and %d Gaussians, not %lld",
               RING_MODES_MAX, (long long)modes);
    HM_TRY(make(seed, HM_SYNTH_RING, first_row, rows, 1, NULL, &synth));
    synth->modes = modes;
    synth->source.type = HM_FLOAT32;
    synth->source.unit = 1;
    synth->source.columns = 2;
    synth->source.height = synth->source.width = 0;
    synth->source.read = ring_read;
    hm_status status = hm_alloc(&out->labels, rows, sizeof(int32_t), "labels");
    if (status != HM_OK) {
        synth_close(&synth->source);
        return status;
    }
    for (int64_t row = 0; row < rows; row++) out->labels[row] = mode_of(first_row + row, modes);
    out->source = &synth->source;
    return HM_OK;
}
