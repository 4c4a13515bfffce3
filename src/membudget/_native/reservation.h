/* What admission grants. */

#ifndef MEMBUDGET_RESERVATION_H
#define MEMBUDGET_RESERVATION_H

#include <Python.h>

int reservation_add(PyObject *module);

#endif
