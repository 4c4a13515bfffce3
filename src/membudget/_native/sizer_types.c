/* What is known of types: how an object of each is read.

   A type is looked up once by Python code (sizing/kinds.py), which knows the program's registered
   functions and the libraries it has imported, and then kept here, by address. Code of the
   program may run meanwhile, so a walk that meets a new type stops, has it resolved and begins
   again. A class can go and another come to its address: the entry of a heap type therefore
   carries a weak reference, which the interpreter clears when the class dies, and one pointer
   compared tells. A miss through that costs one more look-up, never a wrong answer. */

#include "sizer_inside.h"

/* More types than a walk can meet at its usual bound, so that no walk empties its own table. */
#define MOST_TYPES (2 * NODES)

static struct {
    Type *slots;
    size_t mask;
    size_t used;
    PyObject *resolver;
} known;

static size_t
slot_of(const PyTypeObject *type)
{
    return (size_t)(((uint64_t)((uintptr_t)type >> 4) * 0x9E3779B97F4A7C15u) >> 32) & known.mask;
}

static int
is_current(const Type *found)
{
    return found->guard == NULL
           || ((PyWeakReference *)found->guard)->wr_object == (PyObject *)found->type;
}

const Type *
type_known(PyTypeObject *type)
{
    for (size_t slot = slot_of(type);; slot = (slot + 1) & known.mask) {
        const Type *found = &known.slots[slot];
        if (found->type == type) {
            return is_current(found) ? found : NULL;
        }
        if (found->type == NULL) {
            return NULL;
        }
    }
}

static int
make_room(size_t size)
{
    Type *fresh = PyMem_Calloc(size, sizeof(Type));
    if (fresh == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Type *old = known.slots;
    size_t count = old == NULL ? 0 : known.mask + 1;
    known.slots = fresh;
    known.mask = size - 1;
    for (size_t at = 0; at < count; at++) {
        if (old[at].type != NULL) {
            size_t slot = slot_of(old[at].type);
            while (fresh[slot].type != NULL) {
                slot = (slot + 1) & known.mask;
            }
            fresh[slot] = old[at];
        }
    }
    PyMem_Free(old);
    return 0;
}

/* Puts a type in, or in the place of one that died at its address. Takes over the references. */
static int
put(Type *type)
{
    if (2 * (known.used + 1) > known.mask + 1 && make_room(2 * (known.mask + 1)) < 0) {
        drop(type->guard);
        drop(type->ask);
        return -1;
    }
    size_t slot = slot_of(type->type);
    while (known.slots[slot].type != NULL && known.slots[slot].type != type->type) {
        slot = (slot + 1) & known.mask;
    }
    Type old = known.slots[slot];
    known.used += old.type == NULL;
    known.slots[slot] = *type;
    Py_XDECREF(old.guard);
    Py_XDECREF(old.ask);
    return 0;
}

void
types_forget(void)
{
    Type *old = known.slots;
    size_t count = known.mask + 1, used = known.used;
    known.slots = NULL;
    known.used = 0;
    if (make_room(64) < 0) { /* Then what is there has to do. */
        PyErr_Clear();
        known.slots = old;
        known.used = used;
        return;
    }
    /* References go last: their finalizers may weigh something. */
    for (size_t at = 0; at < count; at++) {
        Py_XDECREF(old[at].guard);
        Py_XDECREF(old[at].ask);
    }
    PyMem_Free(old);
}

void
types_tidy(void)
{
    if (known.used > MOST_TYPES) {
        types_forget();
    }
}

/* What can be read off the type itself. */
static void
measure_type(Type *type)
{
    PyTypeObject *kind = type->type;
    type->prefix = 0;
#ifndef Py_GIL_DISABLED
    if (PyType_IS_GC(kind)) {
        type->prefix += 2 * (Py_ssize_t)sizeof(void *);
    }
#endif
#if PY_VERSION_HEX >= 0x030C0000
    const unsigned long before = Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF;
#else
    const unsigned long before = Py_TPFLAGS_MANAGED_DICT;
#endif
    if (kind->tp_flags & before) {
        type->prefix += 2 * (Py_ssize_t)sizeof(void *);
    }
    type->has_values = (kind->tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0;
    type->fixed = kind->tp_basicsize + type->prefix;
    type->item = kind->tp_itemsize;
}

/* sizing/kinds.py, which stands above this folder, is imported when the first type is met. */
static PyObject *
resolver(void)
{
    if (known.resolver == NULL) {
        PyObject *module = PyImport_ImportModule("membudget.sizing.kinds");
        PyObject *found = module ? PyObject_GetAttrString(module, "kind_of") : NULL;
        drop(module);
        if (found == NULL) {
            return NULL;
        }
        Py_XSETREF(known.resolver, found);
    }
    return Py_NewRef(known.resolver);
}

/* The answer is (kind, function or None, descriptor of a __sizeof__ written in C or None). */
static int
ask_resolver(Type *type)
{
    PyObject *asked = resolver();
    if (asked == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallOneArg(asked, (PyObject *)type->type);
    drop(asked);
    if (answer == NULL) {
        return -1;
    }
    int kind;
    PyObject *ask, *size;
    if (!PyArg_ParseTuple(answer, "iOO", &kind, &ask, &size)) {
        drop(answer);
        return -1;
    }
    type->kind = (unsigned char)kind;
    type->ask = ask == Py_None ? NULL : Py_NewRef(ask);
    if (Py_IS_TYPE(size, &PyMethodDescr_Type)) {
        PyMethodDef *method = ((PyMethodDescrObject *)size)->d_method;
        if ((method->ml_flags & ~METH_COEXIST) == METH_NOARGS
            && PyDescr_TYPE(size) != &PyBaseObject_Type) {
            type->size = method->ml_meth;
        }
    }
    Py_DECREF(answer);
    return 0;
}

int
type_resolve(PyTypeObject *kind)
{
    Type type = {.type = kind};
    measure_type(&type);
    if (ask_resolver(&type) < 0) {
        return -1;
    }
    if (kind->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        type.guard = PyWeakref_NewRef((PyObject *)kind, NULL);
        if (type.guard == NULL) {
            drop(type.ask);
            return -1;
        }
    }
    return put(&type);
}

int
types_start(void)
{
    return known.slots == NULL ? make_room(64) : 0;
}
