/* Reads the kernel's small text files without letting go of the GIL, and the numbers in them.

   Who lets go of it beside threads that compute waits up to 5 ms to have it back, at each read; the
   kernel writes these texts from memory in 1 to 50 us. And of two figures read one after the other,
   neither is then older than the other by what the process grew in between. */

#define PY_SSIZE_T_CLEAN
#include "kernel_files.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <string.h>
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

/* The number that begins at `*at`, which moves on behind it. A text of ours ends with a NUL, which
   is no digit. */
static PyObject *
number_at(const char **at)
{
    const char *first = *at, *here = first;
    unsigned long long number = 0;
    for (; *here >= '0' && *here <= '9' && here - first < 19; here++) {
        number = number * 10 + (unsigned long long)(*here - '0');
    }
    if (here == first || (*here >= '0' && *here <= '9')) {
        PyErr_SetString(PyExc_ValueError, "a number is due");
        return NULL;
    }
    *at = here;
    return PyLong_FromUnsignedLongLong(number);
}

PyObject *
read_numbers(PyObject *module, PyObject *descriptor)
{
    PyObject *text = read_descriptor(module, descriptor);
    PyObject *numbers = text == NULL ? NULL : PyList_New(0);
    if (numbers == NULL) {
        Py_XDECREF(text);
        return NULL;
    }
    const char *at = PyBytes_AS_STRING(text);
    int is_whole = 1;
    for (; is_whole && *at != '\0' && *at != '\n'; at += *at == ' ') {
        PyObject *number = number_at(&at);
        is_whole = number != NULL && PyList_Append(numbers, number) == 0;
        Py_XDECREF(number);
    }
    Py_DECREF(text);
    if (!is_whole) {
        Py_CLEAR(numbers);
    }
    return numbers;
}

/* Puts the number of a line where its key stands among `keys`, if it does; -1 is an error. */
static int
take_line(const char *line, size_t length, PyObject *keys, PyObject *figures)
{
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(keys); place++) {
        PyObject *key = PyTuple_GET_ITEM(keys, place);
        const char *word = PyBytes_AS_STRING(key);
        size_t wanted = (size_t)PyBytes_GET_SIZE(key);
        if (*word != *line || length < wanted || memcmp(line, word, wanted) != 0) {
            continue;
        }
        const char *at = line + wanted;
        PyObject *number = number_at(&at);
        if (number != NULL && at != line + length) {
            Py_CLEAR(number);
            PyErr_SetString(PyExc_ValueError, "nothing is due behind a number");
        }
        return number == NULL ? -1 : PyTuple_SetItem(figures, place, number);
    }
    return 0;
}

PyObject *
read_figures(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "a descriptor and a tuple of keys are due");
        return NULL;
    }
    PyObject *keys = arguments[1];
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(keys); place++) {
        if (!PyBytes_Check(PyTuple_GET_ITEM(keys, place))) {
            PyErr_SetString(PyExc_TypeError, "keys are bytes");
            return NULL;
        }
    }
    PyObject *text = read_descriptor(module, arguments[0]);
    PyObject *figures = text == NULL ? NULL : PyTuple_New(PyTuple_GET_SIZE(keys));
    if (figures == NULL) {
        Py_XDECREF(text);
        return NULL;
    }
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(keys); place++) {
        PyTuple_SET_ITEM(figures, place, Py_NewRef(Py_None));
    }
    const char *line = PyBytes_AS_STRING(text), *end = line + PyBytes_GET_SIZE(text);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop == NULL ? end : stop;
        if (take_line(line, (size_t)(stop - line), keys, figures) < 0) {
            Py_CLEAR(figures);
            break;
        }
        line = stop + 1;
    }
    Py_DECREF(text);
    return figures;
}
#endif
