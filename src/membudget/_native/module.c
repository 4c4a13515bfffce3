/* The compiled core: the table that a cache is built on, and the sizer that weighs its entries.

   It keeps types and functions of the program in variables of its own, so it serves the main
   interpreter alone: before 3.12 the interpreter itself does not refuse it to others. */

#include "kernel_files.h"
#include "table.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Gives back whole pages that malloc holds free. It walks all of its heaps, so others run. */
static PyObject *
trim(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    int done = 0;
#ifdef __GLIBC__
    Py_BEGIN_ALLOW_THREADS
    done = malloc_trim(0);
    Py_END_ALLOW_THREADS
#endif
    return PyBool_FromLong(done);
}

static PyMethodDef functions[] = {
#if !defined(_WIN32)
    {"read_descriptor", read_descriptor, METH_O, "The text of an open file, the GIL held."},
    {"read_path", read_path, METH_O, "The text of a file by its path, the GIL held."},
#endif
    {"trim", trim, METH_NOARGS, "Give back pages that malloc holds free; whether there were any."},
    {NULL, NULL, 0, NULL},
};

static int
core_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "the compiled core serves the main interpreter alone");
        return -1;
    }
    return table_add(module) < 0 || sizer_add(module) < 0 ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The compiled core of membudget.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
