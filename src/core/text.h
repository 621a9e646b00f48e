/* Texts whose bytes may be anything: names of files, and what files of others hold. */
#ifndef HM_TEXT_H
#define HM_TEXT_H

#include <stdint.h>

/* The bytes of the UTF-8 character at the start of `text`, and its code point; 0 when there is no well-formed one. */
int hm_utf8_length(const char *text, uint32_t *code);

#endif
