/* How many bytes objects hold, read without running their code.

   The caller holds the GIL and strong references to what it hands in. Nothing here takes a
   reference that outlives a call, except to types (weakly) and to the program's own functions. */

#ifndef MEMBUDGET_SIZER_H
#define MEMBUDGET_SIZER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Names stay inside the module, whatever the process has loaded. */
#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* Drops a reference where an error may be under way, and keeps that error. What is dropped may clear
   it: a deque does where memory is short, and NULL without an error is a SystemError. */
static inline void
drop(PyObject *object)
{
    if (PyErr_Occurred() == NULL) {
        Py_XDECREF(object);
        return;
    }
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    Py_XDECREF(object);
    PyErr_Restore(type, error, trace);
}

/* What one table knows of parts that several of its entries refer to. */
typedef struct Shares Shares;

Shares *shares_new(void);
void shares_free(Shares *shares);

enum {
    ATOMIC = 1,   /* the value cannot change its size, nor does its charge depend on others */
    WITHHELD = 2, /* a part was charged to nobody, since others seem to hold it */
};

/* Bytes that dropping key and value together would free; -1 with an exception. May run Python
   code on first sight of a type and for types the program registered. `traits` becomes those that
   hold. `shares` may be NULL: nothing is known of others. */
Py_ssize_t sizer_entry(Shares *shares, PyObject *key, PyObject *value, int *traits);

/* To be told before an entry's references are dropped: what it was known to share is forgotten.
   Runs no Python code and cannot fail; next to nothing where the table shares nothing. */
void sizer_gone(Shares *shares, PyObject *key, PyObject *value);

/* To be told where an entry weighed with one key is kept under an equal one: what the key that is not
   kept was known to share is forgotten. Likewise. */
void sizer_key_not_kept(Shares *shares, PyObject *key, PyObject *value);

/* Deep bytes of one object on its own; -1 with an exception. */
Py_ssize_t sizer_alone(PyObject *value);

/* Adds what membudget.sizing calls to the module (the list is at the end of sizer.c); 0, or -1
   with an exception. */
int sizer_add(PyObject *module);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
