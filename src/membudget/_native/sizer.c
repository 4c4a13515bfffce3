/* How many bytes objects hold: what the table calls, and what membudget.sizing calls.

   Theory, files and what each knows:

   sizer_blocks.c   the blocks of one object, in the allocator's classes, and its references
   sizer_arrays.c   the same for NumPy's arrays
   sizer_types.c    how an object of a type is read, resolved once by sizing/kinds.py
   sizer_walk.c     the walk, and the sum of all it meets
   sizer_charge.c   the other sum: what dropping an entry would free
   sizer_sample.c   the same from a sample, where a value has more objects than the bound
   sizer_shares.c   which parts several entries of a table refer to

   An entry beyond the bound is charged its deep estimate: in a sample most references to a part
   come from siblings nobody looked at, so that it cannot be told who else holds it.

   A value at `set` is often still held by the caller, and so are its parts: they seem to be held
   by somebody else and are charged little. The table weighs entries again later. */

#include "sizer_inside.h"

#define SHARES_NAME "membudget.shares"

/* More than a walk's 32-bit counts hold is never looked at. */
#define MOST_NODES ((Py_ssize_t)1 << 30)

/* What an entry goes by in the shares: its value, which belongs to one entry as a rule, or its key
   where the value is one that everybody has. */
static const void *
name_of(PyObject *key, PyObject *value)
{
    return is_immortal(value) || atom_bytes(value) >= 0 ? key : value;
}

/* Whether a value's size cannot change: an atom, or a tuple of atoms. */
static int
keeps_its_size(PyObject *value, Py_ssize_t own)
{
    if (own >= 0) {
        return !PyByteArray_CheckExact(value);
    }
    if (!PyTuple_CheckExact(value) || PyTuple_GET_SIZE(value) > NODES) {
        return 0;
    }
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(value); at++) {
        PyObject *item = PyTuple_GET_ITEM(value, at);
        if (item == NULL || atom_bytes(item) < 0 || PyByteArray_CheckExact(item)) {
            return 0;
        }
    }
    return 1;
}

Py_ssize_t
sizer_entry(Shares *shares, PyObject *key, PyObject *value, int *traits)
{
    Py_ssize_t of_key = root_atom_bytes(key), of_value = root_atom_bytes(value);
    *traits = keeps_its_size(value, of_value) ? ATOMIC : 0;
    if (of_key >= 0 && of_value >= 0) {
        shares_forget(shares, key);
        return of_key + of_value;
    }
    PyObject *roots[2];
    Py_ssize_t count = 0;
    if (of_key < 0) {
        roots[count++] = key;
    }
    if (of_value < 0) {
        roots[count++] = value;
    }
    Weight weight;
    if (weigh(roots, count, NODES, EXCLUSIVE, shares, name_of(key, value), &weight) < 0) {
        return -1;
    }
    if (weight.withheld || weight.noted) {
        *traits &= ~ATOMIC; /* Its charge changes when others let go of a part. */
    }
    *traits |= weight.withheld ? WITHHELD : 0;
    return weight.bytes + (of_key > 0 ? of_key : 0) + (of_value > 0 ? of_value : 0);
}

void
sizer_gone(Shares *shares, PyObject *key, PyObject *value)
{
    shares_forget(shares, name_of(key, value));
}

Py_ssize_t
sizer_alone(PyObject *value)
{
    Py_ssize_t own = root_atom_bytes(value);
    if (own >= 0) {
        return own;
    }
    Weight weight;
    return weigh(&value, 1, NODES, DEEP, NULL, NULL, &weight) < 0 ? -1 : weight.bytes;
}

void
sizer_key_not_kept(Shares *shares, PyObject *key, PyObject *value)
{
    if (name_of(key, value) == key) {
        shares_forget(shares, key);
    }
}

/* For membudget.sizing */

static int
read_nodes(PyObject *const *arguments, Py_ssize_t count, const char *name, Py_ssize_t *nodes)
{
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError, "%s takes a value and how many nodes to look at", name);
        return -1;
    }
    *nodes = count == 2 ? PyNumber_AsSsize_t(arguments[1], NULL) : NODES;
    if (*nodes == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*nodes < 1) {
        PyErr_Format(PyExc_ValueError, "nodes %zd is not above zero", *nodes);
        return -1;
    }
    if (*nodes > MOST_NODES) {
        *nodes = MOST_NODES;
    }
    return 0;
}

static PyObject *
py_size_of(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Weight weight;
    if (count == 2) {
        weight.bytes = root_atom_bytes(arguments[0]);
        if (weight.bytes >= 0) {
            return PyLong_FromSsize_t(weight.bytes);
        }
    }
    Py_ssize_t nodes;
    if (read_nodes(arguments, count, "size_of", &nodes) < 0
        || weigh(arguments, 1, nodes, DEEP, NULL, NULL, &weight) < 0) {
        return NULL;
    }
    return PyLong_FromSsize_t(weight.bytes);
}

static PyObject *
py_measure(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Weight weight = {.nodes = 1, .exact = 1};
    Py_ssize_t nodes;
    if (read_nodes(arguments, count, "measure", &nodes) < 0) {
        return NULL;
    }
    weight.bytes = root_atom_bytes(arguments[0]);
    if (weight.bytes < 0 && weigh(arguments, 1, nodes, DEEP, NULL, NULL, &weight) < 0) {
        return NULL;
    }
    return Py_BuildValue("nnO", weight.bytes, weight.nodes, weight.exact ? Py_True : Py_False);
}

static void
shares_capsule_free(PyObject *capsule)
{
    shares_free(PyCapsule_GetPointer(capsule, SHARES_NAME));
}

static PyObject *
py_new_shares(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    Shares *shares = shares_new();
    if (shares == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(shares, SHARES_NAME, shares_capsule_free);
    if (capsule == NULL) {
        shares_free(shares);
    }
    return capsule;
}

/* The key, the value and, where given, the shares. */
static int
read_entry(PyObject *const *arguments, Py_ssize_t count, Shares **shares)
{
    *shares = NULL;
    if (count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "give a key, a value and, if any, shares");
        return -1;
    }
    if (count == 3) {
        *shares = PyCapsule_GetPointer(arguments[2], SHARES_NAME);
    }
    return count == 3 && *shares == NULL ? -1 : 0;
}

static PyObject *
py_entry(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Shares *shares;
    int traits;
    if (read_entry(arguments, count, &shares) < 0) {
        return NULL;
    }
    Py_ssize_t bytes = sizer_entry(shares, arguments[0], arguments[1], &traits);
    return bytes < 0 ? NULL : PyLong_FromSsize_t(bytes);
}

static PyObject *
py_gone(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Shares *shares;
    if (read_entry(arguments, count, &shares) < 0) {
        return NULL;
    }
    sizer_gone(shares, arguments[0], arguments[1]);
    Py_RETURN_NONE;
}

static PyObject *
py_is_atomic(PyObject *module, PyObject *value)
{
    (void)module;
    return PyBool_FromLong(keeps_its_size(value, atom_bytes(value)));
}

static PyObject *
py_forget_types(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    types_forget();
    Py_RETURN_NONE;
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

static PyMethodDef functions[] = {
    {"size_of", FAST(py_size_of), "size_of(value, nodes): the bytes an object holds."},
    {"measure", FAST(py_measure), "measure(value, nodes): (bytes, nodes, exact)."},
    {"entry", FAST(py_entry),
     "entry(key, value, shares): the bytes that dropping both would free."},
    {"gone", FAST(py_gone), "gone(key, value, shares): forget what the entry was known to share."},
    {"new_shares", py_new_shares, METH_NOARGS, "What a table knows of parts its entries share."},
    {"is_atomic", py_is_atomic, METH_O, "Whether a value cannot change its size."},
    {"forget_types", py_forget_types, METH_NOARGS, "Ask anew how each type is read."},
    {"read_arrays", arrays_start, METH_VARARGS, "Try NumPy's arrays; whether they can be read."},
    {NULL, NULL, 0, NULL},
};

int
sizer_add(PyObject *module)
{
    if (types_start() < 0 || blocks_start() < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
