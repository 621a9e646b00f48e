#include "train/contrast.h"

#include <stddef.h>
#include <string.h>

static const char *const estimator_names[] = {"exact", "cd", "pcd", NULL};
static const char *const kl_names[] = {"analytic", "sampled", NULL};
static const char *const path_names[] = {"full", "sticking", "doubly", NULL};
static const char *const sampler_names[] = {"gibbs", "pt", NULL};

#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_contrast_settings, NAME)
static const hm_setting contrast_entries[] = {
    {FIELD(estimator), .type = HM_SET_CHOICE, .choices = estimator_names, .fallback = "pcd",
     .describe = "negative phase: pcd (persistent chains; Tieleman 2008), cd (Hinton 2002), exact (enumeration)"},
    {FIELD(layer), .type = HM_SET_INT, .min = 0, .max = 64, .fallback = "0",
     .describe = "objectives that train one layer (pretrain): which, from 1"},
    {FIELD(k), .type = HM_SET_INT, .min = 1, .max = 1e6, .fallback = "1", .describe = "Gibbs steps an update"},
    {FIELD(chains), .type = HM_SET_INT, .min = 0, .max = 1e7, .fallback = "0", HM_NEEDS(estimator, HM_PCD),
     .describe = "persistent chains over all shards; 0: as many as the batch has rows"},
    {FIELD(sampler), .type = HM_SET_CHOICE, .choices = sampler_names, .fallback = "gibbs", HM_NEEDS(estimator, HM_PCD),
     .describe = "how persistent chains move: gibbs, or pt (parallel tempering; Desjardins et al. 2010)"},
    {FIELD(temperatures), .type = HM_SET_INT, .min = 2, .max = HM_TEMPERATURES_MAX, .fallback = "10",
     HM_NEEDS(sampler, HM_PARALLEL_TEMPERING),
     .describe = "pt: replicas of each chain, from the data's base rates to the model"},
    {FIELD(swap_adaptation), .type = HM_SET_REAL, .min = 0, .max = 0.5, .fallback = "0.01",
     HM_NEEDS(sampler, HM_PARALLEL_TEMPERING),
     .describe = "pt: how fast temperatures move to make all swaps equally likely; 0: they stay evenly spaced"},
    {FIELD(centered), .type = HM_SET_BOOL, .fallback = "true",
     .describe = "subtract running means from both phases (Melchior, Fischer, Wiskott 2016)"},
    {FIELD(offset_rate), .type = HM_SET_REAL, .min = 1e-9, .max = 1, .fallback = "0.01",
     .describe = "share of the new batch in the running means"},
    {FIELD(sparsity_target), .type = HM_SET_REAL, .min = 0, .max = 1, .fallback = "0.1", HM_NEEDS(sparsity_cost, 0),
     .describe = "wanted mean of each hidden unit, with sparsity_cost"},
    {FIELD(sparsity_cost), .type = HM_SET_REAL, .min = 0, .max = 1e3, .fallback = "0",
     .describe = "strength of the pull to sparsity_target (Hinton 2010, section 11); 0: none"},
    {FIELD(dropout), .type = HM_SET_REAL, .min = 0, .max = 0.95, .fallback = "0",
     .describe = "classify, discriminative, hybrid: share of the hidden units, marginals given as inputs among them, "
                 "that each update leaves out (Srivastava et al. 2014); in a list of layers dropout is a layer"},
    {FIELD(dropout_visible), .type = HM_SET_REAL, .min = 0, .max = 0.95, .fallback = "0",
     .describe = "classify, discriminative, hybrid: share of the visible units that each update leaves out"},
    {FIELD(generative_weight), .type = HM_SET_REAL, .min = 0, .max = 1e3, .fallback = "0.01",
     .describe = "hybrid: weight of log p(v, label) beside log p(label | v)"},
    {FIELD(missing), .type = HM_SET_REAL, .min = 0.01, .max = 1, .fallback = "0.5",
     .describe = "multi_prediction: share of the visible units, at random, that are predicted from the others"},
    {FIELD(samples), .type = HM_SET_INT, .min = 1, .max = 1e5, .fallback = "1",
     .describe = "vae: draws of the latent variables for each row"},
    {FIELD(adversary_steps), .type = HM_SET_INT, .min = 1, .max = 1000, .fallback = "1",
     .describe = "gan: updates of the discriminator for each of the generator"},
    {FIELD(gradient_penalty), .type = HM_SET_REAL, .min = 0, .max = 1e6, .fallback = "10",
     .describe = "gan, wasserstein: weight of the penalty on the critic's gradient (Gulrajani et al. 2017)"},
    {FIELD(kl), .type = HM_SET_CHOICE, .choices = kl_names, .fallback = "analytic",
     .describe = "vae, elbo: divergence from the prior in closed form (one latent layer), or from the draws"},
    {FIELD(kl_warmup), .type = HM_SET_REAL, .min = 0, .max = 1e9, .fallback = "0",
     .describe = "vae, elbo: epochs in which the weight of that divergence grows from 0 to 1"},
    {FIELD(path), .type = HM_SET_CHOICE, .choices = path_names, .fallback = "full",
     .describe =
         "vae: gradient of q: full; sticking (Roeder et al. 2017) or doubly (Tucker et al. 2019): the path alone"},
    {.key = NULL},
};
#undef FIELD
#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_train_settings, NAME)
static const hm_setting train_entries[] = {
    {FIELD(objective), .type = HM_SET_TEXT, .fallback = "default",
     .describe = "what is climbed: one of the family's objectives; default: its first"},
    {FIELD(epochs), .type = HM_SET_INT, .min = 1, .max = 1e7, .describe = "passes over the training data"},
    {FIELD(batch), .type = HM_SET_INT, .min = 1, .max = 1e7, .fallback = "100",
     .describe = "rows of a minibatch over all shards"},
    {FIELD(monitor_every), .type = HM_SET_INT, .min = 0, .max = 1e9, .fallback = "0",
     .describe = "updates between two rows of metrics; 0: one row an epoch"},
    {.key = NULL},
};
#undef FIELD

const hm_settings_table hm_contrast_table = {"train", contrast_entries};
const hm_settings_table hm_train_table = {"train", train_entries};

hm_status hm_contrast_check(const hm_train_settings *train, const hm_contrast_settings *how, int shards,
                            const char **key)
{
    *key = "batch";
    HM_REQUIRE(train->batch >= shards, HM_EUSAGE,
               "a batch of %lld cannot be cut into %d shards; batch must be at least %d", (long long)train->batch,
               shards, shards);
    *key = "chains";
    HM_REQUIRE(how->chains == 0 || how->chains >= shards, HM_EUSAGE,
               "%lld chains cannot be cut into %d shards; chains must be 0 or at least %d", (long long)how->chains,
               shards, shards);
    *key = "k";
    HM_REQUIRE(how->estimator != HM_EXACT || how->k == 1, HM_EUSAGE,
               "estimator exact makes no Gibbs steps; leave k out");
    return HM_OK;
}
