/* The word that was probably meant, for "did you mean". */
#ifndef HM_CLOSEST_H
#define HM_CLOSEST_H

#include <stdbool.h>

/* Offer it all words that are known; `word` is then the closest of them, or NULL when more than a third of the letters
 * are wrong. */
typedef struct hm_closest {
    const char *given, *word;
    int least; /* letters wrong in `word` */
} hm_closest;

hm_closest hm_closest_to(const char *given);

/* Is `word` the closest so far? It is kept, not copied. */
bool hm_closest_offer(hm_closest *closest, const char *word);

#endif
