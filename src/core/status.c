#include "core/status.h"

#include "core/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char message[2048];
static int system_reason; /* errno of hm_fail_system */

void hm_make_printable(char *text)
{
    char *out = text;
    while (*text) {
        uint32_t code = 0;
        int length = hm_utf8_length(text, &code);
        if (length == 0) code = (unsigned char)*text; /* a byte of some other encoding */
        if (length == 0) length = 1;
        if ((code < ' ' && code != '\n') || (code >= 0x7f && code < 0xa0)) {
            *out++ = '?';
        } else {
            memmove(out, text, (size_t)length);
            out += length;
        }
        text += length;
    }
    *out = '\0';
}

hm_status hm_fail(hm_status status, const char *format, ...)
{
    pthread_mutex_lock(&lock);
    if (message[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
        hm_make_printable(message);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

hm_status hm_fail_system(hm_status status, int reason, const char *format, ...)
{
    pthread_mutex_lock(&lock);
    if (message[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
        size_t used = strlen(message);
        snprintf(message + used, sizeof message - used, ": %s", strerror(reason));
        hm_make_printable(message);
        system_reason = reason;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hm_error_reason(void) { return message[0] ? system_reason : 0; }

hm_status hm_fail_at(hm_status status, const char *format, ...)
{
    char whole[sizeof message];
    va_list arguments;
    if (status == HM_OK) return HM_OK;
    va_start(arguments, format);
    int used = vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    if (used >= 0 && (size_t)used < sizeof whole) snprintf(whole + used, sizeof whole - (size_t)used, "%s", message);
    memcpy(message, whole, sizeof message);
    hm_make_printable(message);
    pthread_mutex_unlock(&lock);
    return status;
}

const char *hm_error_message(void) { return message; }

void hm_error_clear(void)
{
    pthread_mutex_lock(&lock);
    message[0] = '\0';
    system_reason = 0;
    pthread_mutex_unlock(&lock);
}

hm_status hm_worse(hm_status a, hm_status b)
{
    if (a == HM_OK) return b;
    if (b == HM_OK) return a;
    return a < b ? a : b;
}
