/* Rows of a result set into what the target reads, a buffer at a time: LOAD DATA's lines, or arrays of parameters.
 *
 * `lines` takes what has arrived of a result set's row packets and makes of each whole row a line, if they are text, or
 * its parameters, if they are binary. It stops at the first packet that is not a plain row (the end, an error, a row of
 * 16 MB or more, one out of order or malformed) and leaves that to Python. Its twin is in text.py;
 * tests/unit/test_copy_text.py holds both against each other.
 * Formats: MySQL Source Code Documentation, "Text Resultset Row" and "Binary Protocol Resultset Row"; MySQL Reference
 * Manual, "LOAD DATA Statement", field and line handling; MariaDB documentation, "COM_STMT_BULK_EXECUTE".
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { MORE = 0, OTHER = 1, FULL = 2 }; /* twins in text.py */
enum { GIVEN = 0, IS_NULL = 1 };        /* what comes before each parameter */
#define LARGE 0xFFFFFF                  /* length of a packet that another one continues */
#define ENOUGH (1 << 19)                /* bytes that are made at once, twin in text.py */

/* Whether one of eight bytes is ' or \ (a zero byte in x ^ pattern; Warren, Hacker's Delight, 6-1). */
static inline int special(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t a = word ^ (ones * '\''), b = word ^ (ones * '\\');
    return (((a - ones) & ~a) | ((b - ones) & ~b)) & highs ? 1 : 0;
}

static unsigned char *quoted(unsigned char *out, const unsigned char *in, size_t left)
{
    *out++ = '\'';
    while (left) {
        uint64_t word;
        if (left >= 8 && (memcpy(&word, in, 8), !special(word))) {
            memcpy(out, in, 8);
            in += 8, out += 8, left -= 8;
            continue;
        }
        size_t step = left < 8 ? left : 8;
        for (size_t i = 0; i < step; i++) {
            if (in[i] == '\'' || in[i] == '\\') *out++ = '\\';
            *out++ = in[i];
        }
        in += step, left -= step;
    }
    *out++ = '\'';
    return out;
}

/* Where a field with its length before it ends, and where its bytes begin; NULL where that is not inside the row. */
static inline const unsigned char *field(const unsigned char *in, const unsigned char *end, const unsigned char **bytes)
{
    if (in == end) return NULL;
    size_t n = *in++, head = n == 0xFC ? 2 : n == 0xFD ? 3 : 0;
    if (n == 0xFB || n > 0xFD || (size_t)(end - in) < head) return NULL;
    if (head) {
        n = in[0] | (size_t)in[1] << 8 | (head == 3 ? (size_t)in[2] << 16 : 0);
        in += head;
    }
    if ((size_t)(end - in) < n) return NULL;
    *bytes = in;
    return in + n;
}

/* The line of one row in text; NULL where its fields do not fill it exactly. `out` has room for 2 * size + 5 * columns. */
static unsigned char *line(unsigned char *out, const unsigned char *in, size_t size, const char *kinds, size_t columns)
{
    const unsigned char *end = in + size;
    for (size_t i = 0; i < columns; i++) {
        const unsigned char *bytes, *after;
        if (i) *out++ = ',';
        if (in != end && *in == 0xFB) {
            memcpy(out, "NULL", 4);
            out += 4, in++;
            continue;
        }
        if (!(after = field(in, end, &bytes))) return NULL;
        if (kinds[i] == 'b') {
            memcpy(out, bytes, (size_t)(after - bytes));
            out += after - bytes;
        } else {
            out = quoted(out, bytes, (size_t)(after - bytes));
        }
        in = after;
    }
    if (in != end) return NULL;
    *out++ = '\n';
    return out;
}

#define FIXED(n)                               \
    {                                          \
        if (end - in < (n)) return NULL;       \
        memcpy(out, in, (n));                  \
        out += (n), in += (n);                 \
        continue;                              \
    }

/* The parameters of one binary row, likewise. */
static unsigned char *parameters(unsigned char *out, const unsigned char *in, size_t size, const char *kinds, size_t columns)
{
    const unsigned char *end = in + size, *nulls = in + 1;
    size_t head = 1 + (columns + 9) / 8; /* two bits of the map are not used */
    if (size < head) return NULL;
    in += head;
    for (size_t i = 0; i < columns; i++) {
        const unsigned char *bytes, *after;
        if (nulls[(i + 2) >> 3] >> ((i + 2) & 7) & 1) {
            *out++ = IS_NULL;
            continue;
        }
        *out++ = GIVEN;
        switch (kinds[i]) {
        case '1': FIXED(1)
        case '2': FIXED(2)
        case '4': FIXED(4)
        case '8': FIXED(8)
        case 't':
            if (in == end || *in > 12) return NULL; /* else as any field */
            break;
        case 's':
            break;
        default:
            return NULL;
        }
        if (!(after = field(in, end, &bytes))) return NULL;
        memcpy(out, in, (size_t)(after - in));
        out += after - in;
        in = after;
    }
    return in == end ? out : NULL;
}

static PyObject *py_lines(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer data;
    Py_ssize_t start, stop, columns, most, rows = 0;
    int seq, why = MORE;
    const char *kinds;
    if (!PyArg_ParseTuple(args, "y*nniy#n", &data, &start, &stop, &seq, &kinds, &columns, &most)) return NULL;
    if (start < 0 || stop < start || stop > data.len) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "start and stop are not inside the buffer");
        return NULL;
    }
    const unsigned char *in = (const unsigned char *)data.buf + start, *end = (const unsigned char *)data.buf + stop;
    Py_ssize_t room = (stop - start) + (stop - start) / 4 + 4096, used = 0;
    PyObject *text = PyBytes_FromStringAndSize(NULL, room);
    int binary = columns && kinds[0] != 'b' && kinds[0] != 'q';
    while (text && end - in >= 4) {
        Py_ssize_t size = in[0] | (Py_ssize_t)in[1] << 8 | (Py_ssize_t)in[2] << 16;
        if (rows == most || used >= ENOUGH) {
            why = FULL;
            break;
        }
        if (in[3] != seq || !size || size == LARGE) {
            why = OTHER;
            break;
        }
        if (end - in - 4 < size) {
            if (end - in > 4 && in[4] >= 0xFE) why = OTHER;
            break;
        }
        Py_ssize_t need = 2 * size + 5 * columns + 1;
        if (room - used < need) {
            room = used + need + (room >> 1);
            if (_PyBytes_Resize(&text, room)) break;
        }
        unsigned char *out = (unsigned char *)PyBytes_AS_STRING(text) + used, *after = NULL;
        if (!binary && in[4] < 0xFE) after = line(out, in + 4, (size_t)size, kinds, (size_t)columns);
        if (binary && in[4] == 0) after = parameters(out, in + 4, (size_t)size, kinds, (size_t)columns);
        if (!after) {
            why = OTHER;
            break;
        }
        used += after - out;
        rows++;
        seq = (seq + 1) & 0xFF;
        in += 4 + size;
    }
    Py_ssize_t at = in - (const unsigned char *)data.buf;
    PyBuffer_Release(&data);
    if (!text || _PyBytes_Resize(&text, used)) return NULL;
    return Py_BuildValue("(ninNi)", at, seq, rows, text, why);
}

static PyMethodDef functions[] = {
    {"lines", py_lines, METH_VARARGS, "lines(buffer, start, stop, seq, kinds, most) -> (at, seq, rows, text, why)."},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "segue.copy._text", .m_doc = "Rows as the target reads them, compiled.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__text(void)
{
    return PyModule_Create(&module);
}
