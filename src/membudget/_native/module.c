/* The compiled core: the table that a cache is built on, and the sizer that weighs its entries.

   It keeps types and functions of the program in variables of its own, so it serves the main
   interpreter alone: before 3.12 the interpreter itself does not refuse it to others. */

#include "kernel_files.h"
#include "pools.h"
#include "reservation.h"
#include "table.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

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

#if !defined(_WIN32)
/* A symbol of the process, such as what a preloaded allocator brings; NULL where there is none. */
static void *
symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static PyObject *
has_symbol(PyObject *module, PyObject *name)
{
    (void)module;
    const char *text = PyUnicode_AsUTF8(name);
    return text == NULL ? NULL : PyBool_FromLong(symbol(text) != NULL);
}

/* What glibc's mallinfo2 tells: ten sizes in this order since 2.33. */
typedef struct {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
} Heap;

/* In use and free, in bytes; None where it is not told. It takes locks of malloc's. */
static PyObject *
mallinfo_now(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    Heap (*ask)(void) = (Heap(*)(void))symbol("mallinfo2");
    if (ask == NULL) {
        Py_RETURN_NONE;
    }
    Heap heap;
    Py_BEGIN_ALLOW_THREADS
    heap = ask();
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(nn)", (Py_ssize_t)(heap.uordblks + heap.hblkhd), (Py_ssize_t)heap.fordblks);
}
#endif

static PyMethodDef functions[] = {
#if !defined(_WIN32)
    {"has_symbol", has_symbol, METH_O, "Whether the process has a symbol of this name."},
    {"mallinfo", mallinfo_now, METH_NOARGS, "Bytes of malloc in use and free, or None."},
    {"read_descriptor", read_descriptor, METH_O, "The text of an open file, the GIL held."},
    {"read_figures", (PyCFunction)(void (*)(void))read_figures, METH_FASTCALL,
     "read_figures(descriptor, keys): the numbers behind keys of an open file, the GIL held."},
    {"read_numbers", read_numbers, METH_O, "The numbers of an open file's first line, the GIL held."},
    {"read_path", read_path, METH_O, "The text of a file by its path, the GIL held."},
#endif
    {"pools_free", pools_free, METH_NOARGS, "Bytes that `pools_trim` would give back."},
    {"pools_trim", pools_trim, METH_NOARGS,
     "Give back pages of pools without a block, of arenas noted; the bytes."},
    {"pools_watch", pools_watch, METH_NOARGS, "Note which arenas Python's allocator has from now on."},
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
    return table_add(module) < 0 || sizer_add(module) < 0 || reservation_add(module) < 0 ? -1 : 0;
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
