#include "core/closest.h"

#include <stddef.h>
#include <string.h>

/* Levenshtein distance, of words below 64 letters. */
static int edit_distance(const char *a, const char *b)
{
    enum { LETTERS = 64 };
    int row[LETTERS + 1], length = (int)strlen(b);
    if (length > LETTERS || strlen(a) > LETTERS) return LETTERS;
    for (int j = 0; j <= length; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            int cheapest = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replaced < cheapest ? replaced : cheapest;
        }
    }
    return row[length];
}

hm_closest hm_closest_to(const char *given)
{
    int length = (int)strlen(given), most = length < 3 ? 0 : 1 + length / 3; /* more letters wrong are no slip */
    return (hm_closest){.given = given, .least = most + 1};
}

bool hm_closest_offer(hm_closest *closest, const char *word)
{
    int distance = edit_distance(closest->given, word);
    if (distance >= closest->least) return false;
    closest->least = distance;
    closest->word = word;
    return true;
}
