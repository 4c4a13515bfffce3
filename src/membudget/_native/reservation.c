/* A reservation: room that admission granted, entered and left by `with`.

   What is small and asked without patience is granted here from the figures of the last reading, as
   the meter and admission would in plain Python for ten times the time. Whatever else comes up (no
   room, a door that is shut, a lock that another thread holds, numbers too large) is left to
   `acquire` and `release` of the subclass. The figures are slots of those two objects; their
   places are looked up once. */

#define PY_SSIZE_T_CLEAN
#include "reservation.h"
#include <math.h>
#include <structmember.h>

/* From here on a request reads the process anew, in plain Python: core/meter.py, QUANTUM. */
#define SMALL_BELOW ((long long)1 << 20)
/* Numbers from here on are plain Python's, so that no sum of four overflows. */
#define LARGE ((long long)1 << 60)

typedef struct {
    PyObject_HEAD
    PyObject *admission;
    PyObject *size;
    PyObject *timeout;
    char is_held;
    char was_asked;
} Reservation;

enum { METER, ACQUIRE, RELEASE, IS_SHUT, ADMISSION_SLOTS };
enum { USED, CLAIMED, RESERVED, HELD_THEN, APART_THEN, NUMBERS_READ, ARRIVED = NUMBERS_READ, LAST, DOOR, METER_SLOTS };

/* Where a type that was seen last has its slots. */
typedef struct {
    PyTypeObject *type;
    const char *const *names;
    int count;
    Py_ssize_t at[METER_SLOTS];
} Layout;

static const char *const admission_names[] = {"_meter", "_acquire", "_release", "is_shut"};
static const char *const meter_names[] = {"used",     "claimed", "reserved", "_held_then", "_apart_then",
                                          "_arrived", "_last",   "door"};
static Layout admissions = {NULL, admission_names, ADMISSION_SLOTS, {0}};
static Layout meters = {NULL, meter_names, METER_SLOTS, {0}};

/* Whether these are slots of the object's type; never an error. */
static int
is_laid_out(Layout *layout, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (layout->type == type) {
        return 1;
    }
    Py_CLEAR(layout->type);
    for (int slot = 0; slot < layout->count; slot++) {
        PyObject *found = PyObject_GetAttrString((PyObject *)type, layout->names[slot]);
        if (found == NULL) {
            PyErr_Clear();
            return 0;
        }
        PyMemberDescrObject *member = (PyMemberDescrObject *)found;
        int is_slot = Py_IS_TYPE(found, &PyMemberDescr_Type) && member->d_member->type == T_OBJECT_EX &&
                      PyType_IsSubtype(type, PyDescr_TYPE(found));
        if (is_slot) {
            layout->at[slot] = member->d_member->offset;
        }
        Py_DECREF(found);
        if (!is_slot) {
            return 0;
        }
    }
    layout->type = (PyTypeObject *)Py_NewRef(type);
    return 1;
}

static PyObject **
slot_of(const Layout *layout, PyObject *object, int slot)
{
    return (PyObject **)((char *)object + layout->at[slot]);
}

/* Whether this is an int that can be reckoned with here. */
static int
as_number(PyObject *object, long long *number)
{
    int overflow;
    if (object == NULL || !PyLong_CheckExact(object)) {
        return 0;
    }
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow && *number < LARGE && *number > -LARGE;
}

/* Puts an int into a slot. What stood there is an int as well, so that nothing else runs. */
static void
put(PyObject *meter, int slot, PyObject *number)
{
    PyObject **place = slot_of(&meters, meter, slot), *before = *place;
    *place = number;
    Py_XDECREF(before);
}

/* The meter's `reserve` or `release`, if all is plain: 1 done, 0 not, -1 an error. */
static int
count_in_meter(PyObject *admission, PyObject *meter, long long size, int is_end)
{
    long long of[NUMBERS_READ], other;
    for (int slot = 0; slot < NUMBERS_READ; slot++) {
        if (!as_number(*slot_of(&meters, meter, slot), &of[slot])) {
            return 0;
        }
    }
    int second = is_end ? ARRIVED : LAST;
    if (!as_number(*slot_of(&meters, meter, second), &other)) {
        return 0;
    }
    long long used = of[USED] + of[CLAIMED], apart = used - of[HELD_THEN] - of[APART_THEN];
    long long come_in = apart < 0 ? 0 : apart < of[RESERVED] ? apart : of[RESERVED];
    if (is_end) {
        long long part = size < come_in ? size : come_in;
        of[APART_THEN] += part;
        other += part;
        of[RESERVED] = of[RESERVED] > size ? of[RESERVED] - size : 0;
    }
    else {
        PyObject *door = *slot_of(&meters, meter, DOOR);
        double upto = door != NULL && PyFloat_CheckExact(door) ? PyFloat_AS_DOUBLE(door) : NAN;
        int is_open = *slot_of(&admissions, admission, IS_SHUT) == Py_False;
        int is_endless = isinf(upto) && upto > 0;
        if (!is_open || !(is_endless || fabs(upto) < (double)LARGE)) {
            return 0;
        }
        /* As if nothing had come in: `come_in` takes for it what holders took in since the reading,
           and what they hold now is asked for in plain Python. */
        if (!is_endless && (long long)upto - used - of[RESERVED] < size) {
            return 0;
        }
        of[APART_THEN] = used - of[HELD_THEN] - come_in;
        of[RESERVED] += size;
        other += size;
    }
    PyObject *apart_then = PyLong_FromLongLong(of[APART_THEN]);
    PyObject *reserved = PyLong_FromLongLong(of[RESERVED]);
    PyObject *changed = PyLong_FromLongLong(other);
    if (apart_then == NULL || reserved == NULL || changed == NULL) {
        Py_XDECREF(apart_then);
        Py_XDECREF(reserved);
        Py_XDECREF(changed);
        return -1;
    }
    put(meter, APART_THEN, apart_then);
    put(meter, RESERVED, reserved);
    put(meter, second, changed);
    return 1;
}

/* Takes or ends the reservation under admission's lock, if it can be had at once. */
static int
count_locked(Reservation *reservation, int is_end)
{
#ifdef Py_GIL_DISABLED
    return 0; /* Others write the slots meanwhile. */
#else
    PyObject *admission = reservation->admission;
    long long size;
    if (!is_laid_out(&admissions, admission) || !as_number(reservation->size, &size) || size >= SMALL_BELOW) {
        return 0;
    }
    PyObject *meter = *slot_of(&admissions, admission, METER);
    PyObject *acquire = *slot_of(&admissions, admission, ACQUIRE);
    PyObject *release = *slot_of(&admissions, admission, RELEASE);
    if (meter == NULL || acquire == NULL || release == NULL || !is_laid_out(&meters, meter)) {
        return 0;
    }
    Py_INCREF(meter);
    Py_INCREF(release); /* A fork in between would put others in place. */
    PyObject *at_once[] = {Py_False};
    PyObject *got = PyObject_Vectorcall(acquire, at_once, 1, NULL);
    /* A lock in Python, as where gevent put its own in place, tells 1 for one that was ours. */
    int is_ours = got == NULL ? -1 : PyObject_IsTrue(got), done = is_ours < 0 ? -1 : 0;
    if (is_ours > 0) {
        done = count_in_meter(admission, meter, size, is_end);
        if (done == 1) {
            reservation->is_held = !is_end;
        }
        PyObject *nothing = PyObject_CallNoArgs(release);
        if (nothing == NULL) {
            done = -1;
        }
        Py_XDECREF(nothing);
    }
    Py_XDECREF(got);
    Py_DECREF(release);
    Py_DECREF(meter);
    return done;
#endif
}

/* What the subclass does: its method of this name, without arguments. */
static PyObject *
call_method(Reservation *reservation, const char *name)
{
    return PyObject_CallMethod((PyObject *)reservation, name, NULL);
}

static PyObject *
reservation_enter(Reservation *reservation, PyObject *Py_UNUSED(nothing))
{
    int done = 0;
    PyObject *timeout = reservation->timeout;
    if (!reservation->is_held && PyFloat_CheckExact(timeout) && PyFloat_AS_DOUBLE(timeout) == 0.0) {
        reservation->was_asked = 1;
        done = count_locked(reservation, 0);
    }
    if (done < 0) {
        return NULL;
    }
    if (!done) {
        PyObject *nothing = call_method(reservation, "acquire");
        if (nothing == NULL) {
            return NULL;
        }
        Py_DECREF(nothing);
    }
    return Py_NewRef((PyObject *)reservation);
}

static PyObject *
reservation_exit(Reservation *reservation, PyObject *const *Py_UNUSED(error), Py_ssize_t Py_UNUSED(count))
{
    int done = reservation->is_held ? count_locked(reservation, 1) : 0;
    if (done < 0) {
        return NULL;
    }
    if (done) {
        Py_RETURN_NONE;
    }
    return call_method(reservation, "release");
}

static PyObject *
reservation_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    PyObject *admission, *size, *timeout;
    static char *names[] = {"admission", "size", "timeout", NULL};
    if (named == NULL && PyTuple_GET_SIZE(arguments) == 3) {
        admission = PyTuple_GET_ITEM(arguments, 0);
        size = PyTuple_GET_ITEM(arguments, 1);
        timeout = PyTuple_GET_ITEM(arguments, 2);
    }
    else if (!PyArg_ParseTupleAndKeywords(arguments, named, "OOO:Reservation", names, &admission, &size, &timeout)) {
        return NULL;
    }
    Reservation *reservation = (Reservation *)type->tp_alloc(type, 0);
    if (reservation != NULL) {
        reservation->admission = Py_NewRef(admission);
        reservation->size = Py_NewRef(size);
        reservation->timeout = Py_NewRef(timeout);
    }
    return (PyObject *)reservation;
}

/* One that is still held, or that was never entered, is the subclass's to deal with. */
static void
reservation_finalize(Reservation *reservation)
{
    if ((reservation->was_asked && !reservation->is_held) || reservation->admission == NULL) {
        return;
    }
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyObject *nothing = call_method(reservation, "_forgotten");
    if (nothing == NULL) {
        PyErr_WriteUnraisable((PyObject *)reservation);
    }
    Py_XDECREF(nothing);
    PyErr_Restore(kind, error, trace);
}

static int
reservation_traverse(Reservation *reservation, visitproc visit, void *arg)
{
    Py_VISIT(reservation->admission);
    Py_VISIT(reservation->size);
    Py_VISIT(reservation->timeout);
    return 0;
}

static int
reservation_clear(Reservation *reservation)
{
    Py_CLEAR(reservation->admission);
    Py_CLEAR(reservation->size);
    Py_CLEAR(reservation->timeout);
    return 0;
}

static void
reservation_dealloc(Reservation *reservation)
{
    PyObject_GC_UnTrack(reservation);
    reservation_clear(reservation);
    Py_TYPE(reservation)->tp_free((PyObject *)reservation);
}

static PyMethodDef methods[] = {
    {"__enter__", (PyCFunction)reservation_enter, METH_NOARGS, "Reserve: see `acquire`."},
    {"__exit__", (PyCFunction)(void (*)(void))reservation_exit, METH_FASTCALL, "End the reservation."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_admission", T_OBJECT_EX, offsetof(Reservation, admission), READONLY, NULL},
    {"_size", T_OBJECT_EX, offsetof(Reservation, size), READONLY, NULL},
    {"_timeout", T_OBJECT_EX, offsetof(Reservation, timeout), READONLY, NULL},
    {"_is_held", T_BOOL, offsetof(Reservation, is_held), 0, NULL},
    {"_was_asked", T_BOOL, offsetof(Reservation, was_asked), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject Reservation_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "membudget._native._core.Reservation",
    .tp_doc = "Room that admission granted, entered and left by `with`.",
    .tp_basicsize = sizeof(Reservation),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = reservation_new,
    .tp_finalize = (destructor)reservation_finalize,
    .tp_dealloc = (destructor)reservation_dealloc,
    .tp_traverse = (traverseproc)reservation_traverse,
    .tp_clear = (inquiry)reservation_clear,
    .tp_methods = methods,
    .tp_members = members,
};

int
reservation_add(PyObject *module)
{
    PyObject *type = (PyObject *)&Reservation_Type;
    return PyType_Ready(&Reservation_Type) < 0 ? -1 : PyModule_AddObjectRef(module, "Reservation", type);
}
