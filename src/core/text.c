#include "core/text.h"

#include <stdbool.h>

int hm_utf8_length(const char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800,
                                     0x10000}; /* of each length: shorter forms are not well-formed */
    const unsigned char *at = (const unsigned char *)text;
    int length = *at < 0x80 ? 1 : (*at & 0xe0) == 0xc0 ? 2 : (*at & 0xf0) == 0xe0 ? 3 : (*at & 0xf8) == 0xf0 ? 4 : 0;
    if (length == 0) return 0;
    *code = length == 1 ? *at : *at & (0x7fu >> length);
    for (int byte = 1; byte < length; byte++) {
        if ((at[byte] & 0xc0) != 0x80) return 0; /* also at the end of the text */
        *code = *code << 6 | (at[byte] & 0x3fu);
    }
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < least[length] || *code > 0x10ffff || surrogate ? 0 : length;
}
