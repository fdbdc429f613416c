/* Rows of a text result set into what the target reads, a buffer at a time: LOAD DATA's lines, or arrays of parameters.
 *
 * `lines` takes what has arrived of a result set's row packets and makes one line of each whole row. It stops at the
 * first packet that is not a plain row (the end, an error, a row of 16 MB or more, one out of order or malformed) and
 * leaves that to Python. Its twin is in text.py; tests/unit/test_copy_text.py holds both against each other.
 * Formats: MySQL Source Code Documentation, "Text Resultset Row"; MySQL Reference Manual, "LOAD DATA Statement",
 * field and line handling; MariaDB documentation, "COM_STMT_BULK_EXECUTE".
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

/* One row: a line, or with kinds 'p' its parameters; NULL where its fields do not fill it exactly.
 * `out` has room for 2 * size + 5 * columns. */
static unsigned char *line(unsigned char *out, const unsigned char *in, size_t size, const char *kinds, size_t columns)
{
    const unsigned char *end = in + size;
    int parameters = columns && kinds[0] == 'p';
    for (size_t i = 0; i < columns; i++) {
        if (i && !parameters) *out++ = ',';
        if (in == end) return NULL;
        const unsigned char *begin = in;
        size_t n = *in++, head = n == 0xFC ? 2 : n == 0xFD ? 3 : 0;
        if (n == 0xFB) {
            if (parameters) {
                *out++ = IS_NULL;
                continue;
            }
            memcpy(out, "NULL", 4);
            out += 4;
            continue;
        }
        if (n > 0xFD || (size_t)(end - in) < head) return NULL;
        if (head) {
            n = in[0] | (size_t)in[1] << 8 | (head == 3 ? (size_t)in[2] << 16 : 0);
            in += head;
        }
        if ((size_t)(end - in) < n) return NULL;
        if (parameters) {
            *out++ = GIVEN;
            memcpy(out, begin, (size_t)(in - begin) + n);
            out += (size_t)(in - begin) + n;
        } else if (kinds[i] == 'b') {
            memcpy(out, in, n);
            out += n;
        } else {
            out = quoted(out, in, n);
        }
        in += n;
    }
    if (in != end) return NULL;
    if (!parameters) *out++ = '\n';
    return out;
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
        if (in[4] < 0xFE) after = line(out, in + 4, (size_t)size, kinds, (size_t)columns);
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
