/* Reads the kernel's small text files without letting go of the GIL.

   Who lets go of it beside threads that compute waits up to 5 ms to have it back, at each read; the
   kernel writes these texts from memory in 1 to 50 us. And of two figures read one after the other,
   neither is then older than the other by what the process grew in between. */

#define PY_SSIZE_T_CLEAN
#include "kernel_files.h"

#if !defined(_WIN32)
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK ((size_t)8192)

/* A file of many records, such as mountinfo, is told by the page: there only nothing is the end. */
static PyObject *
text_of(int descriptor, int has_records)
{
    char chunk[CHUNK];
    PyObject *text = NULL;
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(descriptor, chunk, CHUNK, at);
        if (got < 0) {
            Py_XDECREF(text);
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        if (text == NULL) {
            text = PyBytes_FromStringAndSize(chunk, got);
        }
        else {
            PyBytes_ConcatAndDel(&text, PyBytes_FromStringAndSize(chunk, got));
        }
        if (text == NULL || got == 0 || (!has_records && got < (ssize_t)CHUNK)) {
            return text;
        }
        at += got;
    }
}

PyObject *
read_descriptor(PyObject *module, PyObject *number)
{
    (void)module;
    long descriptor = PyLong_AsLong(number);
    if (descriptor == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return text_of((int)descriptor, 0);
}

PyObject *
read_path(PyObject *module, PyObject *path)
{
    (void)module;
    PyObject *encoded = NULL;
    if (!PyUnicode_FSConverter(path, &encoded)) {
        return NULL;
    }
    int descriptor = open(PyBytes_AS_STRING(encoded), O_RDONLY | O_CLOEXEC);
    Py_DECREF(encoded);
    if (descriptor < 0) {
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    PyObject *text = text_of(descriptor, 1);
    close(descriptor);
    return text;
}
#endif
