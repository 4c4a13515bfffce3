/* Times and sizes that a set is given: numbers are read here, and what else there may be by `units`,
   whose words the exceptions are. */

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

int64_t
read_bytes(PyObject *number)
{
    int is_over;
    long long bytes = PyLong_AsLongLongAndOverflow(number, &is_over);
    return is_over > 0 ? INT64_MAX : bytes;
}

int64_t
read_size(PyObject *size)
{
    if (PyLong_CheckExact(size)) {
        int is_over;
        long long bytes = PyLong_AsLongLongAndOverflow(size, &is_over);
        if (bytes >= 0) {
            return bytes;
        }
    }
    PyObject *answer = call_units("as_bytes", size, NULL);
    if (answer == NULL) {
        return -1;
    }
    int64_t bytes = read_bytes(answer);
    drop(answer);
    return bytes;
}
