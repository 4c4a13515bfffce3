/* NumPy arrays: the memory they own, the array a view looks at, the objects in an object array.

   NumPy's types have no traversal and hide their buffers, so an array is read from its struct,
   whose head has been the same since 1.7 (PyArrayObject_fields in NumPy's documented C interface;
   nothing of NumPy is needed to compile this). Before it is believed, arrays_start() is handed two
   arrays with known answers. The size in bytes comes from the C getter of `nbytes`, since the
   place of the item size moved with 2.0. NumPy is never imported from here: sizing/kinds.py hands
   it in when the first array is met.

   A view owns no memory; what it keeps alive is the array in `base`, and the items of an object
   array belong to whoever owns the memory. */

#include "sizer_inside.h"

typedef struct {
    PyObject_HEAD
    char *data;
    int dimensions;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    PyObject *base;
    PyObject *dtype;
    int flags;
} Array;

/* The head of PyArray_Descr, the same in 1.x and 2.x. */
typedef struct {
    PyObject_HEAD
    PyTypeObject *scalar;
    char kind;
} Dtype;

#define OWNS_DATA 0x0004 /* NPY_ARRAY_OWNDATA */

static getter get_nbytes;
static void *nbytes_closure;

static Py_ssize_t
nbytes_of(PyObject *array)
{
    PyObject *answer = get_nbytes(array, nbytes_closure);
    Py_ssize_t bytes = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    if (bytes < 0) {
        PyErr_Clear();
        return 0;
    }
    return bytes;
}

static int
owns_objects(const Array *array)
{
    return (array->flags & OWNS_DATA) != 0 && ((const Dtype *)array->dtype)->kind == 'O';
}

Py_ssize_t
array_bytes(PyObject *item, const Type *type)
{
    const Array *array = (Array *)item;
    /* Shape and strides lie in one block; NumPy takes it and the data from malloc. */
    Py_ssize_t size = allocated(type->fixed);
    if (array->dimensions > 0) {
        size += malloced(2 * array->dimensions * (Py_ssize_t)sizeof(Py_ssize_t));
    }
    if (array->flags & OWNS_DATA) {
        size += malloced(nbytes_of(item));
    }
    return size;
}

Py_ssize_t
array_length(PyObject *item)
{
    return owns_objects((Array *)item) ? nbytes_of(item) / (Py_ssize_t)sizeof(PyObject *) : -1;
}

int
array_is_plain(PyObject *item)
{
    const Array *array = (Array *)item;
    return array->base == NULL && ((const Dtype *)array->dtype)->kind != 'O';
}

int
array_expand(PyObject *item, const Type *type, visitproc visit, visitproc lend, void *arg)
{
    const Array *array = (Array *)item;
    int stop = 0;
    if (array->base != NULL) {
        stop = lend(array->base, arg);
    }
    if (!stop && owns_objects(array)) {
        /* Memory that is owned has no gaps, in whatever order its axes are. */
        PyObject **items = (PyObject **)array->data;
        for (Py_ssize_t left = array_length(item); left > 0 && !stop; left--, items++) {
            if (*items != NULL) {
                stop = visit(*items, arg);
            }
        }
    }
    if (!stop && type->type->tp_traverse != NULL) { /* The attributes of a subclass. */
        stop = type->type->tp_traverse(item, visit, arg);
    }
    return stop;
}

/* read_arrays(nbytes, array, view): whether the struct tells of an array of 3 objects, and of a
   view of it from the second on, what is true. */
PyObject *
arrays_start(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *nbytes, *whole, *part;
    if (!PyArg_ParseTuple(arguments, "OOO", &nbytes, &whole, &part)) {
        return NULL;
    }
    if (!Py_IS_TYPE(nbytes, &PyGetSetDescr_Type)
        || Py_TYPE(whole)->tp_basicsize < (Py_ssize_t)sizeof(Array)) {
        Py_RETURN_FALSE;
    }
    get_nbytes = ((PyGetSetDescrObject *)nbytes)->d_getset->get;
    nbytes_closure = ((PyGetSetDescrObject *)nbytes)->d_getset->closure;
    const Array *array = (Array *)whole, *view = (Array *)part;
    const Py_ssize_t word = sizeof(PyObject *);
    int told = array->dimensions == 1 && array->base == NULL && (array->flags & OWNS_DATA)
               && view->dimensions == 1 && view->base == whole && !(view->flags & OWNS_DATA)
               && array->shape != NULL && array->shape[0] == 3 && view->shape[0] == 2
               && array->strides[0] == word && view->data == array->data + word
               && owns_objects(array) && nbytes_of(whole) == 3 * word;
    return PyBool_FromLong(told);
}
