/* The lease of admission. */

#ifndef MEMBUDGET_LEASE_H
#define MEMBUDGET_LEASE_H

#include <Python.h>

int lease_add(PyObject *module);

#endif
