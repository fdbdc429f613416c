/* The compiled hot path: forwards whole commands and their replies between two sockets without entering Python.
 *
 * A pair is a client's and a server's socket whose session is between or inside plain commands. `run` takes what
 * the pair's sockets have, sends it on, and walks the reply far enough to know where it ends and which status flags
 * it left. Whatever is not plain (another command, several in one chunk, a reply with session state, a packet cut
 * where its meaning matters, a full socket, an end of stream) is not touched: the pair is taken out and the chunk is
 * handed back together with the walk's state, for the Python path (hot.py, wire/reply.py) to go on with.
 *
 * _walk.h and _rules.h are twins of Python code; tests/unit/test_pump.py holds them against each other. Formats: MySQL
 * Source Code Documentation, "Client/Server Protocol", "Command Phase".
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "_walk.h"
#include "_rules.h"

#define CHUNK (256 * 1024) /* one read; a reply that fits is walked and sent in one piece */
#define BATCH 256          /* events a system call */
#define TURN_NS 2000000    /* then the event loop has its turn: control's orders must not wait */

typedef struct {
    PyObject_HEAD
    PyObject *session;
    PyObject *statements; /* state.Statement by the client's id, or None: what COM_STMT_EXECUTE may pass */
    PyObject *mapped;     /* the server's ids by the client's, or None: they are the same */
    int fd[2];            /* client, server */
    int armed;
    Walk walk;
    Known known[KNOWN];
} Pair;

typedef struct {
    PyObject_HEAD
    int epoll;
    Py_ssize_t armed;
    unsigned long long commands;
    unsigned char *buffer;
} Pump;

static PyTypeObject PairType;

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
    forget(self->known);
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
    memset(pair->known, 0, sizeof pair->known);
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
                      : command(&pair->walk, pair->known, pair->statements, pair->mapped, pump->buffer, (size_t)got);
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
    do {
        int count = epoll_wait(self->epoll, events, BATCH, 0);
        if (count <= 0) break;
        for (int i = 0; i < count; i++) {
            Pair *pair = (Pair *)(uintptr_t)(events[i].data.u64 & ~(uint64_t)1);
            if (!pair->armed) continue; /* handed over earlier in this batch */
            if (!serve(self, pair, (int)(events[i].data.u64 & 1), out)) {
                Py_DECREF(out);
                return NULL;
            }
        }
    } while (PyList_GET_SIZE(out) == 0 && now_ns() < until);
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
    Known known[KNOWN] = {0};
    if (!PyArg_ParseTuple(args, "OOy#", &statements, &mapped, &data, &size)) return NULL;
    PyObject *copy = PyByteArray_FromStringAndSize(data, size);
    if (!copy) return NULL;
    PyObject *out = command(&w, known, statements, mapped, (unsigned char *)PyByteArray_AS_STRING(copy), (size_t)size)
                        ? PyBytes_FromStringAndSize(PyByteArray_AS_STRING(copy), size)
                        : Py_NewRef(Py_None);
    forget(known);
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
