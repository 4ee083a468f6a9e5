/* error.c - host errors: a status and a text that says where and why. */
#include "deft/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

deft_status deft_fail(deft_error *e, deft_status s, const char *fmt, ...)
{
    if (!e) return s;
    va_list ap;
    va_start(ap, fmt);
    e->status = s;
    (void)vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return s;
}

deft_status deft_error_prefix(deft_error *e, const char *fmt, ...)
{
    if (!e) return DEFT_OK;
    if (e->status == DEFT_OK) return DEFT_OK;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof e->text) return e->status;
    const size_t room = sizeof e->text - (size_t)n;
    (void)snprintf(e->text + n, room, ": %.*s", (int)room, old);
    return e->status;
}

const char *deft_escape(char *buf, size_t n, const char *s, size_t n_max)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)s;
    size_t used = 0;
    for (size_t i = 0; i < n_max && p[i];) {
        // A valid, printable UTF-8 sequence goes through whole; all else becomes an escape.
        size_t len = p[i] < 0x80 ? 1 : p[i] >= 0xC2 && p[i] < 0xE0 ? 2 : (p[i] >> 4) == 0xE ? 3 : 0;
        bool plain = len > 0 && len <= n_max - i;
        for (size_t k = 1; plain && k < len; k++) plain = (p[i + k] & 0xC0) == 0x80;
        if (plain && len == 3 && p[i] == 0xE0) plain = p[i + 1] >= 0xA0;
        if (plain && len == 3 && p[i] == 0xED) plain = p[i + 1] < 0xA0;
        // U+0080..9F are controls; U+2028..202E and U+2066..2069 reorder or break lines
        if (plain && len == 2 && p[i] == 0xC2) plain = p[i + 1] >= 0xA0;
        if (plain && len == 3 && p[i] == 0xE2 && (p[i + 1] == 0x80 || p[i + 1] == 0x81))
            plain = p[i + 1] == 0x80 ? p[i + 2] < 0xA8 || p[i + 2] > 0xAE
                                     : p[i + 2] < 0xA6 || p[i + 2] > 0xA9;
        if (plain && len == 1) plain = p[i] >= 0x20 && p[i] != 0x7F && p[i] != '"' && p[i] != '\\';

        char out[4] = {0};
        size_t m = plain ? len : 4;
        if (plain) {
            memcpy(out, p + i, len);
        } else if (p[i] == '"' || p[i] == '\\' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
            out[0] = '\\';
            out[1] = (char)(p[i] == '\n' ? 'n' : p[i] == '\t' ? 't' : p[i] == '\r' ? 'r' : p[i]);
            m = 2;
        } else {
            out[0] = '\\';
            out[1] = 'x';
            out[2] = hex[p[i] >> 4];
            out[3] = hex[p[i] & 15];
        }
        if (used + m + 4 > n) { // room for "..." and NUL stays
            memcpy(buf + used, "...", 4);
            return buf;
        }
        memcpy(buf + used, out, m);
        used += m;
        i += plain ? len : 1;
    }
    buf[used] = '\0';
    return buf;
}
