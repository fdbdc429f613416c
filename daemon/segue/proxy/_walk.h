/* Where a reply ends: the twin of wire/reply.py's ReplyTracker for the states below. Pure; included by _pump.c alone.
 *
 * Enters: a chunk of the server's bytes. Leaves: the walk's state, or that Python has to take the chunk.
 */
#include <stddef.h>
#include <stdint.h>

enum { IDLE, FIRST, COLUMNS, ROWS, GENERIC }; /* as in wire/reply.py */
enum { MORE_RESULTS = 0x0008, CURSOR_EXISTS = 0x0040, PS_OUT_PARAMS = 0x1000, SESSION_STATE_CHANGED = 0x4000 };
#define MAX_PAYLOAD 0xffffff

typedef struct {
    uint8_t state, uncertain, continued;
    uint8_t deprecate_eof;
    uint8_t strip; /* the client gets no session state: OK packets with it are written anew by Python */
    uint16_t status;
    uint32_t left; /* column definitions to come */
    uint32_t skip; /* bytes of a packet that is under way */
} Walk;

/* A length-encoded integer's size in bytes, 0 when it is none. */
static unsigned lenenc_size(unsigned char first)
{
    return first < 0xfb ? 1 : first == 0xfc ? 3 : first == 0xfd ? 4 : first == 0xfe ? 9 : 0;
}

/* A length-encoded integer at *pos, which moves behind it; -1 when it is cut short or none. */
static int64_t lenenc(const unsigned char *data, uint32_t size, uint32_t *pos)
{
    unsigned width = *pos < size ? lenenc_size(data[*pos]) : 0;
    int64_t value = 0;
    if (!width || *pos + width > size) return -1;
    if (width == 1) {
        value = data[*pos];
    } else {
        if (width == 9 && data[*pos + 8] & 0x80) return -1;
        for (unsigned i = width - 1; i; i--) value = value << 8 | data[*pos + i];
    }
    *pos += width;
    return value;
}

/* Whether a session state block holds only what is no news to Segue: neither variables (0) nor the schema (1). */
static int no_news(const unsigned char *data, uint32_t size, uint32_t pos)
{
    if (pos == size) return 1;
    int64_t info = lenenc(data, size, &pos);
    if (info < 0 || info > size - pos) return 0;
    pos += (uint32_t)info;
    if (pos == size) return 1;
    int64_t block = lenenc(data, size, &pos);
    if (block < 0 || block != size - pos) return 0;
    while (pos < size) {
        unsigned char kind = data[pos++];
        int64_t length = lenenc(data, size, &pos);
        if (kind < 2 || length < 0 || length > size - pos) return 0;
        pos += (uint32_t)length;
    }
    return 1;
}

/* Take in flags that the walk may go on with; 0 hands the chunk over. */
static int take_status(Walk *w, int status)
{
    if (status & (SESSION_STATE_CHANGED | PS_OUT_PARAMS | CURSOR_EXISTS)) return 0;
    w->status = (uint16_t)status;
    w->uncertain = 0;
    return 1;
}

/* The same for an OK packet, with session state if need be. */
static int take_ok(Walk *w, const unsigned char *payload, uint32_t length)
{
    uint32_t pos = 1;
    if (lenenc(payload, length, &pos) < 0 || lenenc(payload, length, &pos) < 0 || pos + 4 > length) return 0;
    int status = payload[pos] | payload[pos + 1] << 8;
    if (status & SESSION_STATE_CHANGED) {
        if (w->strip || !no_news(payload, length, pos + 4)) return 0;
        status &= ~SESSION_STATE_CHANGED;
    }
    return take_status(w, status);
}

static void after_result(Walk *w) { w->state = w->status & MORE_RESULTS ? FIRST : IDLE; }

/* A packet that begins or ends something, complete in the chunk; 0 hands the chunk over. */
static int control(Walk *w, const unsigned char *payload, uint32_t length)
{
    unsigned char first = length ? payload[0] : 0;
    int eof = first == 0xfe && length >= 5 && length < 9 && !w->deprecate_eof;
    if (!length) return 0;
    if (first == 0xff) {
        if (w->state == COLUMNS) return 0;
        w->uncertain = 1;
        w->state = IDLE;
        return 1;
    }
    switch (w->state) {
    case FIRST:
        if (first == 0x00) {
            if (!take_ok(w, payload, length)) return 0;
            after_result(w);
            return 1;
        }
        if (lenenc_size(first) != 1) return 0; /* LOCAL INFILE, or more columns than 250 */
        w->left = first + (w->deprecate_eof ? 0 : 1);
        w->state = COLUMNS;
        return 1;
    case COLUMNS:
        if (!w->deprecate_eof && !(eof && take_status(w, payload[3] | payload[4] << 8))) return 0;
        w->state = ROWS;
        return 1;
    case ROWS:
        if (w->deprecate_eof ? !take_ok(w, payload, length)
                             : !(eof && take_status(w, payload[3] | payload[4] << 8)))
            return 0;
        after_result(w);
        return 1;
    case GENERIC:
        if (first != 0x00 || !take_ok(w, payload, length)) return 0;
        w->state = IDLE;
        return 1;
    }
    return 0;
}

/* Walk one chunk of the server's bytes; 0 when the Python path has to take it, with the walk of no further use. */
static int walk(Walk *w, const unsigned char *data, size_t size)
{
    size_t pos = w->skip < size ? w->skip : size;
    w->skip -= (uint32_t)pos;
    while (pos < size) {
        if (size - pos < 5) return 0;
        uint32_t length = data[pos] | data[pos + 1] << 8 | (uint32_t)data[pos + 2] << 16;
        size_t after = pos + 4 + length;
        unsigned char first = data[pos + 4];
        if (w->continued) {
            w->continued = length == MAX_PAYLOAD;
        } else if (w->state == ROWS && (length == 0 || first < 0xfe || length == MAX_PAYLOAD)) {
            w->continued = length == MAX_PAYLOAD;
        } else if (w->state == COLUMNS && w->left > 1) {
            w->left--;
        } else {
            if (after > size || !control(w, data + pos + 4, length)) return 0;
            pos = after;
            continue;
        }
        if (after > size) {
            w->skip = (uint32_t)(after - size);
            return 1;
        }
        pos = after;
    }
    return 1;
}
