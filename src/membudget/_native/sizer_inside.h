/* What the sizer's own files share; no other file includes this. */

#ifndef MEMBUDGET_SIZER_INSIDE_H
#define MEMBUDGET_SIZER_INSIDE_H

#include "sizer.h"
#include <stddef.h>
#include <stdint.h>

/* Up to so many bytes a request is served from pools in classes of 16 (Objects/obmalloc.c). */
#define POOLED 512

/* A str of up to so many characters may be borrowed: the name of a field, a constant. */
#define WORD 64

/* A part of up to so many bytes is charged by its references alone; a larger one is looked up. */
#define SMALL_PART 64

/* How many objects a walk looks at before it goes on from averages. */
#define NODES 10000

/* How a type is read; the numbers are known to sizing/kinds.py. */
enum {
    KIND_SHARED = 0,  /* weighs nothing and is not entered */
    KIND_OBJECT = 1,  /* by its own traversal */
    KIND_DICT = 2,    /* a dict or a subclass: traversal leaves out keys that are strings */
    KIND_ARRAY = 3,   /* NumPy's */
    KIND_VIEW = 4,    /* what it refers to it may only have borrowed */
    KIND_ASKED = 5,   /* a function says what it holds, parts included */
    KIND_FOREIGN = 6, /* by its own traversal; a function says its own bytes */
    KIND_LIST = 7,    /* exactly a list, tuple, set or deque */
    KIND_TUPLE = 8,
    KIND_SET = 9,
    KIND_DEQUE = 10,
    KIND_LEAF = 11    /* refers to nothing */
};

typedef struct {
    PyTypeObject *type;
    PyObject *guard;    /* a weak reference where the type can go and its address come again */
    PyObject *ask;      /* the function of KIND_ASKED and KIND_FOREIGN */
    PyCFunction size;   /* a __sizeof__ written in C other than object's; else NULL */
    Py_ssize_t fixed;   /* bytes requested for an object without items */
    Py_ssize_t item;    /* bytes an item adds */
    Py_ssize_t prefix;  /* bytes before the object: the collector's header and the like */
    unsigned char kind;
    unsigned char has_values; /* attributes lie in a block of values */
} Type;

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* sizer_types.c */
const Type *type_known(PyTypeObject *type);
int type_resolve(PyTypeObject *type);
int types_start(void);
void types_tidy(void);
void types_forget(void);

/* sizer_blocks.c */
int blocks_start(void);
Py_ssize_t own_bytes(PyObject *item, const Type *type);
Py_ssize_t slow_atom_bytes(PyObject *atom);
/* Lets `visit` meet each reference an object holds, and `lend` what it may only have borrowed;
   stops at an answer other than 0 and returns it. */
int expand(PyObject *item, const Type *type, visitproc visit, visitproc lend, void *arg);
/* How many references an object holds where that is known without a walk; else -1. */
Py_ssize_t length_of(PyObject *item, const Type *type);

/* sizer_arrays.c */
PyObject *arrays_start(PyObject *module, PyObject *arguments);
Py_ssize_t array_bytes(PyObject *array, const Type *type);
Py_ssize_t array_length(PyObject *array);
/* Whether it refers to nothing: no view, no objects. */
int array_is_plain(PyObject *array);
int array_expand(PyObject *array, const Type *type, visitproc visit, visitproc lend, void *arg);

/* sizer_shares.c: `entry` is an address that names an entry, `part` one that names a part. */
void shares_forget(Shares *shares, const void *entry);
/* How many references to the part come from entries of the table, `seen` more of them now. */
Py_ssize_t shares_note(Shares *shares, const void *entry, const void *part, Py_ssize_t seen);

/* sizer_walk.c */
typedef struct {
    Py_ssize_t bytes;
    Py_ssize_t nodes;
    int exact;
    int withheld; /* a part was charged to nobody */
    int noted;    /* a part's charge depends on who else holds it: it is in the shares */
} Weight;

enum { DEEP, EXCLUSIVE };

/* Weighs `count` roots together; 0, or -1 with an exception. `entry` names the entry for the
   shares where both are given. */
int weigh(PyObject *const *roots, Py_ssize_t count, Py_ssize_t nodes, int rule, Shares *shares,
          const void *entry, Weight *weight);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

/* The bytes the allocator takes for a request: from a pool or, above POOLED, from malloc. */
static inline Py_ssize_t
allocated(Py_ssize_t size)
{
    return size <= POOLED ? (size + 15) & ~(Py_ssize_t)15 : (size + 23) & ~(Py_ssize_t)15;
}

/* The same for a library that asks malloc directly. */
static inline Py_ssize_t
malloced(Py_ssize_t size)
{
    return size <= 24 ? 32 : (size + 23) & ~(Py_ssize_t)15;
}

static inline int
is_immortal(PyObject *item)
{
#if PY_VERSION_HEX >= 0x030C0000
    return _Py_IsImmortal(item);
#else
    (void)item;
    return 0;
#endif
}

static inline Py_ssize_t
digits_of(PyObject *number)
{
#if PY_VERSION_HEX >= 0x030C0000
    return (Py_ssize_t)(((PyLongObject *)number)->long_value.lv_tag >> 3);
#else
    return Py_ABS(Py_SIZE(number));
#endif
}

static inline Py_ssize_t
int_bytes(PyObject *number)
{
    Py_ssize_t digits = digits_of(number);
#if PY_VERSION_HEX >= 0x030C0000
    const Py_ssize_t head = offsetof(PyLongObject, long_value.ob_digit);
#else
    const Py_ssize_t head = offsetof(PyLongObject, ob_digit);
    /* -5 to 256 exist once. */
    if (digits == 0
        || (digits == 1 && ((PyLongObject *)number)->ob_digit[0] <= (Py_SIZE(number) < 0 ? 5 : 256))) {
        return 0;
    }
#endif
    return allocated(head + (digits ? digits : 1) * (Py_ssize_t)sizeof(digit));
}

static inline Py_ssize_t
str_bytes(PyObject *text)
{
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(text) || ((PyASCIIObject *)text)->wstr != NULL) {
        return slow_atom_bytes(text);
    }
#endif
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    if (length <= 1 && PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND) {
        return 0; /* Each exists once. */
    }
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        return allocated((Py_ssize_t)sizeof(PyASCIIObject) + length + 1);
    }
    if (!PyUnicode_IS_COMPACT(text)) {
        return slow_atom_bytes(text);
    }
    Py_ssize_t own = allocated((Py_ssize_t)sizeof(PyCompactUnicodeObject)
                               + (length + 1) * (Py_ssize_t)PyUnicode_KIND(text));
    PyCompactUnicodeObject *compact = (PyCompactUnicodeObject *)text;
    if (compact->utf8 != NULL) {
        own += allocated(compact->utf8_length + 1); /* Kept beside it once it was encoded. */
    }
    return own;
}

/* Own bytes of an object of exactly one of the types that refer to nothing and of which there are
   many, 0 for one that exists once; -1 for any other type. */
static inline Py_ssize_t
atom_bytes(PyObject *item)
{
    PyTypeObject *type = Py_TYPE(item);
    if (type == &PyUnicode_Type) {
        return is_immortal(item) ? 0 : str_bytes(item);
    }
    if (type == &PyLong_Type) {
        return is_immortal(item) ? 0 : int_bytes(item);
    }
    if (type == &PyFloat_Type) {
        return allocated(sizeof(PyFloatObject));
    }
    if (type == &PyBytes_Type) {
        Py_ssize_t size = PyBytes_GET_SIZE(item);
        return size <= 1 ? 0 : allocated((Py_ssize_t)offsetof(PyBytesObject, ob_sval) + size + 1);
    }
    if (item == Py_None || type == &PyBool_Type || item == Py_Ellipsis
        || item == Py_NotImplemented) {
        return 0;
    }
    if (type == &PyComplex_Type) {
        return allocated(sizeof(PyComplexObject));
    }
    if (type == &PyByteArray_Type) {
        Py_ssize_t size = ((PyByteArrayObject *)item)->ob_alloc;
        return allocated(sizeof(PyByteArrayObject)) + (size ? allocated(size) : 0);
    }
    return -1;
}

/* The same for a root, which weighs what it is even where the interpreter keeps it for good, as it
   keeps the strings of a program from 3.12 on. */
static inline Py_ssize_t
root_atom_bytes(PyObject *root)
{
    return Py_IS_TYPE(root, &PyUnicode_Type) ? str_bytes(root) : atom_bytes(root);
}

#endif
