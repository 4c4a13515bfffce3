/* Texts of the kernel, read while the GIL is held. */

#ifndef MEMBUDGET_KERNEL_FILES_H
#define MEMBUDGET_KERNEL_FILES_H

#include <Python.h>

/* Bytes of an open file from its beginning on, and of a file by its path; OSError if they cannot be read. */
PyObject *read_descriptor(PyObject *module, PyObject *number);
PyObject *read_path(PyObject *module, PyObject *path);

#endif
