/* The compiled hot path: forwards whole commands and their replies between two sockets without entering Python.
 *
 * A pair is a client's and a server's socket whose session is between or inside plain commands. `run` takes what
 * the pair's sockets have, sends it on, and walks the reply far enough to know where it ends and which status flags
 * it left. Whatever is not plain (another command, several in one chunk, a reply with session state, a packet cut
 * where its meaning matters, a full socket, an end of stream) is not touched: the pair is taken out and the chunk is
 * handed back together with the walk's state, for the Python path (hot.py, wire/reply.py) to go on with.
 *
 * The walk is the twin of wire/reply.py's ReplyTracker for the states below; tests/unit/test_pump.py holds the two
 * against each other. Formats: MySQL Source Code Documentation, "Client/Server Protocol", "Command Phase".
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IDLE, FIRST, COLUMNS, ROWS, GENERIC }; /* as in wire/reply.py */
enum { COM_QUERY = 0x03, COM_PING = 0x0e, COM_STMT_EXECUTE = 0x17 };
enum { MORE_RESULTS = 0x0008, CURSOR_EXISTS = 0x0040, PS_OUT_PARAMS = 0x1000, SESSION_STATE_CHANGED = 0x4000 };
#define MAX_PAYLOAD 0xffffff
#define SCANNED 8192       /* as in look.py */
#define CHUNK (256 * 1024) /* one read; a reply that fits is walked and sent in one piece */
#define BATCH 256          /* events a system call */
#define PATIENCE 16        /* most looks at empty sockets, giving the processor away in between, before the loop sleeps:
                              under load peers answer within them, and falling asleep and waking costs more */
#define TURN_NS 2000000    /* then the event loop has its turn: control's orders must not wait */

typedef struct {
    uint8_t state, uncertain, continued;
    uint8_t deprecate_eof;
    uint8_t strip; /* the client gets no session state: OK packets with it are written anew by Python */
    uint16_t status;
    uint32_t left; /* column definitions to come */
    uint32_t skip; /* bytes of a packet that is under way */
} Walk;

typedef struct {
    PyObject_HEAD
    PyObject *session;
    PyObject *statements; /* state.Statement by the client's id, or None: what COM_STMT_EXECUTE may pass */
    PyObject *mapped;     /* the server's ids by the client's, or None: they are the same */
    int fd[2];            /* client, server */
    int armed;
    Walk walk;
} Pair;

typedef struct {
    PyObject_HEAD
    int epoll;
    Py_ssize_t armed;
    unsigned long long commands;
    unsigned patience; /* looks at empty sockets at present: grows while they find something, shrinks while not */
    unsigned char *buffer;
} Pump;

static PyTypeObject PairType;

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

/* -- what a client may send: the twin of hot.py's and look.py's rules ---------------------------------------- */

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

/* Whether an execution's types are known, or there are none: as they were bound last, or not sent again. */
static int types_known(PyObject *statement, const unsigned char *packet, size_t size)
{
    PyObject *flag_at = PyObject_GetAttr(statement, FLAG_AT), *types = PyObject_GetAttr(statement, TYPES);
    int known = 0;
    if (flag_at && types && PyBytes_Check(types)) {
        size_t at = PyLong_AsSize_t(flag_at), length = (size_t)PyBytes_GET_SIZE(types);
        known = at != (size_t)-1 && (!at || (at < size && (!packet[at] || (length && length <= size - at &&
                                                           !memcmp(packet + at, PyBytes_AS_STRING(types), length)))));
    }
    Py_XDECREF(flag_at);
    Py_XDECREF(types);
    return known;
}

/* hot.quiet: a COM_STMT_EXECUTE without a cursor, of a statement that leaves no state, with types that are known or
 * none; and the id that the server has it under. */
static int quiet_execute(PyObject *statements, PyObject *mapped, unsigned char *packet, size_t size)
{
    if (statements == Py_None || size < 14 || packet[9]) return 0;
    PyObject *key = PyBytes_FromStringAndSize((const char *)packet + 5, 4);
    PyObject *statement = key ? PyDict_GetItemWithError(statements, key) : NULL; /* borrowed */
    int passes = statement && !truth(statement, LOUD) && !truth(statement, UNBOUND) && types_known(statement, packet, size);
    PyObject *there = passes && mapped != Py_None ? PyDict_GetItemWithError(mapped, key) : NULL; /* borrowed */
    if (there && PyBytes_Check(there) && PyBytes_GET_SIZE(there) == 4) memcpy(packet + 5, PyBytes_AS_STRING(there), 4);
    else if (there) passes = 0;
    Py_XDECREF(key);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return passes;
}

/* Whether a client's chunk is one whole command that may pass on an idle session, and the state that it leads to. */
static int command(Walk *w, PyObject *statements, PyObject *mapped, unsigned char *data, size_t size)
{
    if (w->state != IDLE || size < 5) return 0;
    uint32_t length = data[0] | data[1] << 8 | (uint32_t)data[2] << 16;
    if (length + 4 != size || length == MAX_PAYLOAD) return 0;
    w->state = FIRST;
    switch (data[4]) {
    case COM_QUERY:
        return plain_query(data, size);
    case COM_STMT_EXECUTE:
        return quiet_execute(statements, mapped, data, size);
    case COM_PING:
        w->state = GENERIC;
        return 1;
    default:
        return 0;
    }
}

static PyObject *walk_state(const Walk *w)
{
    return Py_BuildValue("(iiOIIO)", w->state, w->status, w->uncertain ? Py_True : Py_False, w->left, w->skip,
                         w->continued ? Py_True : Py_False);
}

static int parse_walk(PyObject *tuple, int deprecate_eof, int strip, Walk *w)
{
    int state, status, uncertain, continued;
    unsigned left, skip;
    if (!PyArg_ParseTuple(tuple, "iipIIp", &state, &status, &uncertain, &left, &skip, &continued)) return 0;
    if (state < IDLE || state > GENERIC) {
        PyErr_Format(PyExc_ValueError, "state %d is not one of the compiled walk's", state);
        return 0;
    }
    *w = (Walk){.state = (uint8_t)state, .uncertain = (uint8_t)uncertain, .continued = (uint8_t)continued,
                .deprecate_eof = (uint8_t)deprecate_eof, .strip = (uint8_t)strip, .status = (uint16_t)status,
                .left = left, .skip = skip};
    return 1;
}

/* -- pairs ----------------------------------------------------------------------------------------------- */

static void pair_dealloc(Pair *self)
{
    Py_CLEAR(self->session);
    Py_CLEAR(self->statements);
    Py_CLEAR(self->mapped);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *pair_status(Pair *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(self->walk.status);
}

static PyObject *pair_state(Pair *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(self->walk.state);
}

static PyGetSetDef pair_get[] = {
    {"state", (getter)pair_state, NULL, "As of wire/reply.py.", NULL},
    {"status", (getter)pair_status, NULL, "The server's last status flags.", NULL}, {0},
};

static PyTypeObject PairType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "segue.proxy._pump.Pair",
    .tp_basicsize = sizeof(Pair),
    .tp_dealloc = (destructor)pair_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_getset = pair_get,
};

static void take_out(Pump *pump, Pair *pair)
{
    if (!pair->armed) return;
    pair->armed = 0;
    pump->armed--;
    epoll_ctl(pump->epoll, EPOLL_CTL_DEL, pair->fd[0], NULL);
    epoll_ctl(pump->epoll, EPOLL_CTL_DEL, pair->fd[1], NULL);
    Py_DECREF(pair); /* its session has another one, so that events of the present batch find it alive */
}

static int put_in(Pump *pump, Pair *pair)
{
    for (int side = 0; side < 2; side++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)pair | (uint64_t)side};
        if (epoll_ctl(pump->epoll, EPOLL_CTL_ADD, pair->fd[side], &event)) {
            PyErr_SetFromErrno(PyExc_OSError);
            if (side) epoll_ctl(pump->epoll, EPOLL_CTL_DEL, pair->fd[0], NULL);
            return 0;
        }
    }
    pair->armed = 1;
    pump->armed++;
    Py_INCREF(pair);
    return 1;
}

/* -- the pump -------------------------------------------------------------------------------------------- */

static PyObject *pump_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    if (!PyArg_ParseTuple(args, "")) return NULL;
    (void)kw;
    Pump *self = (Pump *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->patience = 1;
    self->buffer = PyMem_Malloc(CHUNK);
    if (self->epoll < 0 || !self->buffer) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void pump_dealloc(Pump *self)
{
    if (self->epoll >= 0) close(self->epoll);
    PyMem_Free(self->buffer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *pump_fileno(Pump *self, PyObject *none)
{
    (void)none;
    return PyLong_FromLong(self->epoll);
}

static PyObject *pump_arm(Pump *self, PyObject *args)
{
    PyObject *session, *state, *statements, *mapped;
    int client, server, deprecate_eof, strip;
    if (!PyArg_ParseTuple(args, "OiiO!ppOO", &session, &client, &server, &PyTuple_Type, &state, &deprecate_eof, &strip,
                          &statements, &mapped))
        return NULL;
    if ((statements != Py_None && !PyDict_Check(statements)) || (mapped != Py_None && !PyDict_Check(mapped))) {
        PyErr_SetString(PyExc_TypeError, "statements and mapped are a dict or None");
        return NULL;
    }
    Walk w;
    if (!parse_walk(state, deprecate_eof, strip, &w)) return NULL;
    Pair *pair = PyObject_New(Pair, &PairType);
    if (!pair) return NULL;
    pair->walk = w;
    pair->armed = 0;
    pair->fd[0] = client;
    pair->fd[1] = server;
    pair->session = Py_NewRef(session);
    pair->statements = Py_NewRef(statements);
    pair->mapped = Py_NewRef(mapped);
    if (!put_in(self, pair)) {
        Py_DECREF(pair);
        return NULL;
    }
    return (PyObject *)pair;
}

static PyObject *pump_disarm(Pump *self, PyObject *arg)
{
    if (!Py_IS_TYPE(arg, &PairType)) {
        PyErr_SetString(PyExc_TypeError, "disarm takes a Pair");
        return NULL;
    }
    Pair *pair = (Pair *)arg;
    take_out(self, pair);
    return walk_state(&pair->walk);
}

/* Take the pair out and give its chunk back. */
static int hand_over(Pump *pump, Pair *pair, PyObject *out, char kind, const unsigned char *data, size_t size)
{
    take_out(pump, pair);
    PyObject *state = walk_state(&pair->walk);
    if (!state) return 0;
    PyObject *event = Py_BuildValue("(Ocy#N)", pair->session, kind, (const char *)data, (Py_ssize_t)size, state);
    if (!event) return 0;
    int failed = PyList_Append(out, event);
    Py_DECREF(event);
    return !failed;
}

/* One readable socket: read once, send on. 0 with an exception set when memory runs out. */
static int serve(Pump *pump, Pair *pair, int side, PyObject *out)
{
    ssize_t got = recv(pair->fd[side], pump->buffer, CHUNK, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (got <= 0) return hand_over(pump, pair, out, 'X', NULL, 0); /* the loop reads the end or the error itself */
    Walk before = pair->walk;
    int passes = side ? before.state != IDLE && walk(&pair->walk, pump->buffer, (size_t)got)
                      : command(&pair->walk, pair->statements, pair->mapped, pump->buffer, (size_t)got);
    if (!passes) {
        pair->walk = before;
        return hand_over(pump, pair, out, side ? 'S' : 'C', pump->buffer, (size_t)got);
    }
    if (!side) pump->commands++;
    ssize_t sent = send(pair->fd[!side], pump->buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == got) return 1;
    if (sent < 0) sent = 0; /* full or broken: the transport's write finds out which */
    return hand_over(pump, pair, out, side ? 'c' : 's', pump->buffer + sent, (size_t)(got - sent));
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static PyObject *pump_run(Pump *self, PyObject *none)
{
    (void)none;
    struct epoll_event events[BATCH];
    PyObject *out = PyList_New(0);
    if (!out) return NULL;
    int64_t until = now_ns() + TURN_NS;
    unsigned tries = 0;
    do {
        int count = epoll_wait(self->epoll, events, BATCH, 0);
        if (count < 0) break;
        if (!count) {
            if (tries++ >= self->patience) break;
            sched_yield();
            continue;
        }
        if (tries) self->patience = self->patience < PATIENCE / 2 ? self->patience * 2 : PATIENCE;
        tries = 0;
        for (int i = 0; i < count; i++) {
            Pair *pair = (Pair *)(uintptr_t)(events[i].data.u64 & ~(uint64_t)1);
            if (!pair->armed) continue; /* handed over earlier in this batch */
            if (!serve(self, pair, (int)(events[i].data.u64 & 1), out)) {
                Py_DECREF(out);
                return NULL;
            }
        }
    } while (PyList_GET_SIZE(out) == 0 && now_ns() < until);
    if (tries > self->patience && self->patience > 1) self->patience /= 2;
    return out;
}

static PyObject *pump_armed(Pump *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(self->armed);
}

static PyObject *pump_commands(Pump *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(self->commands);
}

static PyMethodDef pump_methods[] = {
    {"fileno", (PyCFunction)pump_fileno, METH_NOARGS, "The descriptor that is readable when run() has work."},
    {"arm", (PyCFunction)pump_arm, METH_VARARGS,
     "arm(session, client_fd, server_fd, state, deprecate_eof, strip, statements, mapped) -> Pair. Keep it until\n"
     "disarmed."},
    {"disarm", (PyCFunction)pump_disarm, METH_O, "disarm(pair) -> state."},
    {"run", (PyCFunction)pump_run, METH_NOARGS,
     "Forward what there is. Returns [(session, kind, data, state)] of pairs that were taken out: kind C or S is a\n"
     "chunk of client or server that Python must handle, c or s a rest to be written to client or server, X an end."},
    {0},
};

static PyGetSetDef pump_get[] = {
    {"armed", (getter)pump_armed, NULL, "Pairs inside.", NULL},
    {"commands", (getter)pump_commands, NULL, "Commands forwarded so far.", NULL},
    {0},
};

static PyTypeObject PumpType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "segue.proxy._pump.Pump",
    .tp_basicsize = sizeof(Pump),
    .tp_dealloc = (destructor)pump_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = pump_methods,
    .tp_getset = pump_get,
    .tp_new = pump_new,
};

/* -- for the tests that hold both twins against each other ------------------------------------------------- */

static PyObject *py_walk(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *state;
    int deprecate_eof, strip;
    Py_buffer data;
    Walk w;
    if (!PyArg_ParseTuple(args, "O!ppy*", &PyTuple_Type, &state, &deprecate_eof, &strip, &data)) return NULL;
    int right = parse_walk(state, deprecate_eof, strip, &w), passes = right && walk(&w, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    if (!right) return NULL;
    if (!passes) Py_RETURN_NONE;
    return walk_state(&w);
}

static PyObject *py_passes(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *statements, *mapped;
    const char *data;
    Py_ssize_t size;
    Walk w = {.state = IDLE};
    if (!PyArg_ParseTuple(args, "OOy#", &statements, &mapped, &data, &size)) return NULL;
    PyObject *copy = PyByteArray_FromStringAndSize(data, size);
    if (!copy) return NULL;
    PyObject *out = command(&w, statements, mapped, (unsigned char *)PyByteArray_AS_STRING(copy), (size_t)size)
                        ? PyBytes_FromStringAndSize(PyByteArray_AS_STRING(copy), size)
                        : Py_NewRef(Py_None);
    Py_DECREF(copy);
    return out;
}

static PyMethodDef functions[] = {
    {"walk", py_walk, METH_VARARGS, "walk(state, deprecate_eof, strip, chunk) -> state, None when Python must take it."},
    {"passes", py_passes, METH_VARARGS, "passes(statements, mapped, chunk) -> what the server gets of a client's chunk, None when Python must look."},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "segue.proxy._pump", .m_doc = "Compiled hot path of the proxy.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__pump(void)
{
    if (PyType_Ready(&PairType) || PyType_Ready(&PumpType)) return NULL;
    LOUD = PyUnicode_InternFromString("loud");
    UNBOUND = PyUnicode_InternFromString("unbound");
    FLAG_AT = PyUnicode_InternFromString("flag_at");
    TYPES = PyUnicode_InternFromString("types");
    if (!LOUD || !UNBOUND || !FLAG_AT || !TYPES) return NULL;
    PyObject *m = PyModule_Create(&module);
    if (m && PyModule_AddObjectRef(m, "Pump", (PyObject *)&PumpType)) Py_CLEAR(m);
    return m;
}
