#include "infer/ladder.h"

#include "core/memory.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- fixed ladders ---- */

/* first, first + 1, ..., last, each divided by `scale`: one part of a piecewise ladder, both ends included. */
typedef struct ladder_part {
    int64_t first, last, scale;
} ladder_part;

/* [0:1/1000:0.5 0.5:1/10000:0.9 0.9:1/100000:1.0] as in the code of Salakhutdinov & Murray (2008): 14,503 values. */
static const ladder_part salakhutdinov2008[] = {{0, 500, 1000}, {5000, 9000, 10000}, {90000, 100000, 100000}};
enum { PARTS = sizeof salakhutdinov2008 / sizeof salakhutdinov2008[0] };

static hm_status reals_alloc(int64_t count, hm_reals *betas)
{
    HM_TRY(hm_alloc(&betas->at, count, sizeof *betas->at, "the ladder of temperatures"));
    betas->count = count;
    return HM_OK;
}

static hm_status ladder_linear(const hm_ais_settings *settings, hm_reals *betas)
{
    int64_t count = settings->temperatures;
    HM_REQUIRE(count >= 2 && count <= HM_LADDER_MAX, HM_EUSAGE,
               "ais.temperatures: %lld, but a linear ladder has between 2 and %d", (long long)count, HM_LADDER_MAX);
    HM_TRY(reals_alloc(count, betas));
    for (int64_t k = 0; k < count; k++) betas->at[k] = (double)k / (double)(count - 1);
    return HM_OK;
}

static hm_status ladder_salakhutdinov2008(const hm_ais_settings *settings, hm_reals *betas)
{
    (void)settings;
    int64_t count = 0;
    for (int part = 0; part < PARTS; part++) count += salakhutdinov2008[part].last - salakhutdinov2008[part].first + 1;
    HM_TRY(reals_alloc(count, betas));
    double *beta = betas->at;
    for (const ladder_part *part = salakhutdinov2008; part < salakhutdinov2008 + PARTS; part++)
        for (int64_t step = part->first; step <= part->last; step++) *beta++ = (double)step / (double)part->scale;
    return HM_OK;
}

static hm_status ladder_adaptive(const hm_ais_settings *settings, hm_reals *betas)
{
    (void)settings;
    (void)betas;
    return hm_fail(HM_EUSAGE,
                   "ais.ladder: adaptive temperatures are found by a forward run; this run has to be given them");
}

static hm_status ladder_custom(const hm_ais_settings *settings, hm_reals *betas)
{
    HM_TRY(hm_ladder_check(settings->betas.at, settings->betas.count));
    HM_TRY(reals_alloc(settings->betas.count, betas));
    memcpy(betas->at, settings->betas.at, (size_t)settings->betas.count * sizeof *betas->at);
    return HM_OK;
}

static hm_status (*const fixed_ladders[])(const hm_ais_settings *settings, hm_reals *betas) = {
    [HM_LADDER_LINEAR] = ladder_linear,
    [HM_LADDER_SALAKHUTDINOV2008] = ladder_salakhutdinov2008,
    [HM_LADDER_ADAPTIVE] = ladder_adaptive,
    [HM_LADDER_CUSTOM] = ladder_custom,
};

hm_status hm_ladder_fixed(const hm_ais_settings *settings, hm_reals *betas)
{
    return fixed_ladders[settings->ladder](settings, betas);
}

hm_status hm_ladder_check(const double betas[], int64_t count)
{
    HM_REQUIRE(count >= 2, HM_EUSAGE, "%lld temperatures, but a ladder needs at least 0 and 1", (long long)count);
    HM_REQUIRE(count <= HM_LADDER_MAX, HM_EUSAGE, "%lld temperatures, at most %d are accepted", (long long)count,
               HM_LADDER_MAX);
    HM_REQUIRE(betas[0] == 0, HM_EUSAGE, "the first temperature is %.9g, it must be 0", betas[0]);
    for (int64_t k = 1; k < count; k++)
        HM_REQUIRE(betas[k] >= betas[k - 1], HM_EUSAGE,
                   "entry %lld is %.9g after %.9g; temperatures must ascend from 0 to 1", (long long)k + 1, betas[k],
                   betas[k - 1]);
    HM_REQUIRE(betas[count - 1] == 1, HM_EUSAGE, "the last temperature is %.9g, it must be 1", betas[count - 1]);
    return HM_OK;
}

/* ---- the adaptive ladder ---- */

static const double FIRST_STEP = 1e-3; /* a first guess; the search mends it */
static const double SLACK = 0.2;       /* accepted: an ESS above the target by up to this part of 1 - target */
static const double GROWTH = 8;        /* a guess is at most so many times, or one so-manieth, of the last */
static const double SHORTEST = 1e-9;   /* below it float32 states no longer tell two temperatures apart */
enum { GUESSES = 12 };                 /* then plain bisection */

/* The search for one step: `low` is known to keep the target, `high` (infinity when unknown) not to. */
typedef struct search {
    double beta, low, high;
    double aim; /* ESS in the middle of what is accepted */
} search;

/* The next step to try after `step` gave `ess`. For short steps 1 - ESS grows as their square; a guess that leaves the
 * bracket gives way to its middle. */
static double guess(const search *s, double step, double ess, int trial)
{
    double lost = fmax(1 - ess, DBL_MIN); /* rounding may give an ESS just above 1 */
    double factor = fmin(fmax(sqrt((1 - s->aim) / lost), 1 / GROWTH), GROWTH);
    double next = step * factor;
    double low = s->low, high = fmin(s->high, 1 - s->beta);
    if (trial >= GUESSES || !(next > low && next < high)) next = isinf(s->high) ? high : 0.5 * (low + high);
    return next;
}

/* True when the bracket cannot be narrowed any more: its ends are neighbours for every practical purpose. */
static bool narrowed(const search *s)
{
    return isfinite(s->high) && s->high - s->low <= fmax(1e-6 * s->high, 0.5 * SHORTEST);
}

/* Where a step leads; exactly 1 when it is all that is left. */
static double reached(double beta, double step) { return step >= 1 - beta ? 1 : beta + step; }

static hm_status evaluate(double beta, double step, hm_ess_at ess_at, void *context, double *ess)
{
    double next = reached(beta, step);
    HM_TRY(ess_at(context, next, ess));
    HM_REQUIRE(!isnan(*ess), HM_ENUMERIC,
               "AIS: the weights between beta = %.9g and %.9g are not finite; the model has diverged", beta, next);
    return HM_OK;
}

/* The longest step found to keep the target, tried last. */
static hm_status find_step(const hm_adaptive *ladder, hm_ess_at ess_at, void *context, double *found)
{
    double target = ladder->target, left = 1 - ladder->beta;
    search s = {ladder->beta, 0, INFINITY, target + 0.5 * SLACK * (1 - target)};
    double step = fmin(ladder->step > 0 ? ladder->step : FIRST_STEP, left), ess;
    for (int trial = 0; !narrowed(&s); trial++) {
        HM_TRY(evaluate(ladder->beta, step, ess_at, context, &ess));
        bool keeps = ess >= target;
        *found = step;
        if (keeps && (step >= left || ess <= target + SLACK * (1 - target))) return HM_OK;
        *(keeps ? &s.low : &s.high) = step;
        step = guess(&s, step, ess, trial);
    }
    HM_REQUIRE(
        s.low >= SHORTEST, HM_ENUMERIC,
        "AIS: no step from beta = %.9g keeps %.9g of the chains effective; lower ais.ess_target or use another ladder",
        ladder->beta, target);
    *found = s.low;
    return evaluate(ladder->beta, s.low, ess_at, context, &ess);
}

hm_status hm_adaptive_next(hm_adaptive *ladder, hm_ess_at ess_at, void *context)
{
    double step = 0;
    HM_TRY(find_step(ladder, ess_at, context, &step));
    ladder->step = step;
    ladder->beta = reached(ladder->beta, step);
    return HM_OK;
}
