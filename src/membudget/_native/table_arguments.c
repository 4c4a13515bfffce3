/* Times and sizes that a set is given, and those it asks for: numbers are read here, and what else
   there may be by `units` and `sizing`, whose words the exceptions are. */

#include "table_arguments.h"

#define MOST_SECONDS (1000 * 365.25 * 86400) /* units.MOST_SECONDS */

static PyObject *
call_units(const char *function, PyObject *argument, const char *name)
{
    PyObject *units = PyImport_ImportModule("membudget.units");
    if (units == NULL) {
        return NULL;
    }
    PyObject *interned = PyUnicode_InternFromString(function), *answer = NULL; /* See Names. */
    PyObject *asked = interned != NULL ? PyObject_GetAttr(units, interned) : NULL;
    drop(interned);
    drop(units);
    if (asked != NULL) {
        PyObject *arguments = PyTuple_Pack(1, argument);
        PyObject *names = name != NULL ? Py_BuildValue("{ss}", "name", name) : NULL;
        if (arguments != NULL && (name == NULL || names != NULL)) {
            answer = PyObject_Call(asked, arguments, names);
        }
        drop(names);
        drop(arguments);
        drop(asked);
    }
    return answer;
}

double
read_ttl(PyObject *ttl)
{
    if (PyFloat_CheckExact(ttl) || PyLong_CheckExact(ttl)) {
        double seconds = PyFloat_AsDouble(ttl);
        if (seconds > 0 && seconds <= MOST_SECONDS) {
            return seconds;
        }
        PyErr_Clear(); /* An int beyond all floats; as_seconds says so. */
    }
    PyObject *answer = call_units("as_seconds", ttl, "ttl");
    if (answer == NULL) {
        return -1;
    }
    double seconds = PyFloat_AsDouble(answer);
    drop(answer);
    return seconds;
}

/* An int, at most what 64 bits hold; -1 with an exception. */
static int64_t
read_bytes(PyObject *number)
{
    int is_over;
    long long bytes = PyLong_AsLongLongAndOverflow(number, &is_over);
    return is_over > 0 ? INT64_MAX : bytes;
}

/* A size where it is a plain int from 0 on, which most are; else -1, without an exception. */
static int64_t
plain_size(PyObject *size)
{
    int is_over;
    return PyLong_CheckExact(size) ? PyLong_AsLongLongAndOverflow(size, &is_over) : -1;
}

int64_t
read_size(PyObject *size)
{
    int64_t bytes = plain_size(size);
    if (bytes >= 0) {
        return bytes;
    }
    PyObject *answer = call_units("as_bytes", size, NULL);
    if (answer == NULL) {
        return -1;
    }
    bytes = read_bytes(answer);
    drop(answer);
    return bytes;
}

int64_t
ask_size(Table *table, PyObject *value)
{
    PyObject *asked = Py_NewRef(table->size);
    PyObject *size = PyObject_CallOneArg(asked, value);
    drop(asked);
    if (size == NULL) {
        return -1;
    }
    int64_t bytes = plain_size(size);
    if (bytes >= 0) {
        Py_DECREF(size);
        return bytes;
    }
    PyObject *sizing = PyImport_ImportModule("membudget.sizing"), *answer = NULL;
    PyObject *name = NULL, *words = NULL;
    if (sizing != NULL) {
        name = PyObject_GetAttr((PyObject *)table, names_of.name);
        if (name == NULL) {
            PyErr_Clear();
            name = PyUnicode_FromString("");
        }
        words = name ? PyUnicode_FromFormat("the size of a value in cache %R", name) : NULL;
        answer = words ? PyObject_CallMethod(sizing, "checked", "OO", size, words) : NULL;
    }
    drop(sizing);
    drop(name);
    drop(words);
    drop(size);
    bytes = answer != NULL ? read_bytes(answer) : -1;
    drop(answer);
    return bytes;
}
