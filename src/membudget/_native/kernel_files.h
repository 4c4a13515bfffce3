/* Texts of the kernel, and numbers in them, read while the GIL is held. */

#ifndef MEMBUDGET_KERNEL_FILES_H
#define MEMBUDGET_KERNEL_FILES_H

#include <Python.h>

/* Bytes of an open file from its beginning on, and of a file by its path; OSError if they cannot be read. */
PyObject *read_descriptor(PyObject *module, PyObject *number);
PyObject *read_path(PyObject *module, PyObject *path);
/* All numbers of an open file's first line, and those behind keys at the beginning of lines, None
   where a key is missing; ValueError where something else stands there. */
PyObject *read_numbers(PyObject *module, PyObject *descriptor);
PyObject *read_figures(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
