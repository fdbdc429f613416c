/* What a client may send unseen: the twin of hot.py's and look.py's rules. Included by _pump.c alone.
 *
 * Enters: a chunk of the client's bytes and the session's statements. Leaves: whether it may pass, with the id in it that
 * the server has a statement under.
 */
#include <string.h>

enum { COM_QUERY = 0x03, COM_PING = 0x0e, COM_STMT_EXECUTE = 0x17 };
#define SCANNED 8192 /* as in look.py */

/* What is known of one prepared statement that may pass. It holds as long as its pair is inside: whatever changes a
 * statement takes the pair out first. */
typedef struct {
    unsigned char id[4], there[4]; /* the client's id and the server's */
    size_t flag_at;
    PyObject *types; /* owned; NULL while the place is free */
} Known;
#define KNOWN 16 /* places, by the id's lowest bits */

static int upper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }

static int has_lock(const unsigned char *text, size_t size)
{
    static const char word[] = "_LOCK";
    for (const unsigned char *at = text, *end = text + size; (at = memchr(at, '_', (size_t)(end - at))); at++) {
        if (end - at < 5) return 0;
        int i = 1;
        while (i < 5 && upper(at[i]) == word[i]) i++;
        if (i == 5) return 1;
    }
    return 0;
}

/* look.plain: a whole COM_QUERY packet that changes nothing which must be known. */
static int plain_query(const unsigned char *packet, size_t size)
{
    static const char heads[][5] = {"INSE", "UPDA", "DELE", "REPL", /* these may be long */
                                    "SELE", "BEGI", "STAR", "COMM", "ROLL", "SHOW", "WITH"};
    if (size < 9) return 0;
    unsigned kind = 0, kinds = sizeof heads / sizeof *heads;
    for (; kind < kinds; kind++) {
        int i = 0;
        while (i < 4 && upper(packet[5 + i]) == heads[kind][i]) i++;
        if (i == 4) break;
    }
    if (kind == kinds || memchr(packet, ';', size)) return 0;
    if (size <= SCANNED) return !has_lock(packet, size);
    return kind < 4 && !has_lock(packet, SCANNED) && !has_lock(packet + size - SCANNED, SCANNED);
}

static PyObject *LOUD, *UNBOUND, *FLAG_AT, *TYPES; /* names of attributes */

/* An attribute's truth; 1, which lets nothing pass, when it has none. */
static int truth(PyObject *of, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(of, name);
    int is = value ? PyObject_IsTrue(value) : 1;
    Py_XDECREF(value);
    return is != 0;
}

/* Look a statement up that leaves no state and whose types the server knows; 0 when there is none such. */
static int learn(Known *place, PyObject *statements, PyObject *mapped, const unsigned char *id)
{
    PyObject *key = PyBytes_FromStringAndSize((const char *)id, 4), *flag_at = NULL, *types = NULL;
    PyObject *statement = key ? PyDict_GetItemWithError(statements, key) : NULL; /* borrowed */
    PyObject *there = statement && mapped != Py_None ? PyDict_GetItemWithError(mapped, key) : NULL; /* borrowed */
    int fits = statement && !truth(statement, LOUD) && !truth(statement, UNBOUND) &&
               (!there || (PyBytes_Check(there) && PyBytes_GET_SIZE(there) == 4));
    if (fits) {
        flag_at = PyObject_GetAttr(statement, FLAG_AT);
        types = PyObject_GetAttr(statement, TYPES);
        size_t at = flag_at ? PyLong_AsSize_t(flag_at) : 0;
        fits = flag_at && types && PyBytes_Check(types) && !PyErr_Occurred();
        if (fits) {
            memcpy(place->id, id, 4);
            memcpy(place->there, there ? (unsigned char *)PyBytes_AS_STRING(there) : id, 4);
            place->flag_at = at;
            Py_XSETREF(place->types, Py_NewRef(types));
        }
    }
    Py_XDECREF(key);
    Py_XDECREF(flag_at);
    Py_XDECREF(types);
    PyErr_Clear();
    return fits;
}

/* hot.quiet: a COM_STMT_EXECUTE without a cursor, of a statement that leaves no state, with types that are known or
 * none. It gets the id that the server has the statement under. */
static int quiet_execute(Known *known, PyObject *statements, PyObject *mapped, unsigned char *packet, size_t size)
{
    if (statements == Py_None || size < 14 || packet[9]) return 0;
    Known *place = known + packet[5] % KNOWN;
    if ((!place->types || memcmp(place->id, packet + 5, 4)) && !learn(place, statements, mapped, packet + 5)) return 0;
    size_t at = place->flag_at, length = (size_t)PyBytes_GET_SIZE(place->types);
    if (at && !(at < size && (!packet[at] || (length && length <= size - at &&
                                              !memcmp(packet + at, PyBytes_AS_STRING(place->types), length)))))
        return 0;
    memcpy(packet + 5, place->there, 4);
    return 1;
}

static void forget(Known *known)
{
    for (int i = 0; i < KNOWN; i++) Py_CLEAR(known[i].types);
}

/* Whether a client's chunk is one whole command that may pass on an idle session, and the state that it leads to. */
static int command(Walk *w, Known *known, PyObject *statements, PyObject *mapped, unsigned char *data, size_t size)
{
    if (w->state != IDLE || size < 5) return 0;
    uint32_t length = data[0] | data[1] << 8 | (uint32_t)data[2] << 16;
    if (length + 4 != size || length == MAX_PAYLOAD) return 0;
    w->state = FIRST;
    switch (data[4]) {
    case COM_QUERY:
        return plain_query(data, size);
    case COM_STMT_EXECUTE:
        return quiet_execute(known, statements, mapped, data, size);
    case COM_PING:
        w->state = GENERIC;
        return 1;
    default:
        return 0;
    }
}
