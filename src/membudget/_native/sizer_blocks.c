/* The blocks that one object occupies, and the references it holds.

   An object is one block: what the collector and the attributes need before it, its struct, its
   items. Lists, sets, dicts and instances have further blocks of their own: items, a table, keys,
   values. Each is rounded as the allocator rounds it (Objects/obmalloc.c; malloc above 512 bytes).
   tp_basicsize tells the struct and `__sizeof__` of built-in types the rest, but it gives one sum
   for all blocks and makes an int for it, so the frequent types are read from their own structs.

   Layouts that no public header declares: the head of a dict's keys (Objects/dictobject.c, the
   same from 3.11 to 3.14) and the block of an instance's values (beside the object in 3.11 and
   3.12, inside it from 3.13 on). A trial at start compares what we read with what
   `dict.__sizeof__` says; where they differ, or the version is a later one, that is asked instead,
   at 30 ns for each dict.

   References are met by tp_traverse, as the collector does: it runs no Python code, makes no
   `__dict__` and sees the attributes of instances. Dicts are read by hand, since traversal leaves
   out keys that are strings; of a dict that shares its keys with a class the keys are not its own.

   Free-threaded builds: an extension that does not declare itself safe without the GIL brings it
   back when imported, which is what this one relies on. There objects have no header before them,
   and mimalloc's classes are taken to be like pymalloc's (within a few percent). */

#include "sizer_inside.h"

#if PY_VERSION_HEX < 0x030F0000 && !defined(Py_GIL_DISABLED)
#define KEYS_ARE_KNOWN 1
#else
#define KEYS_ARE_KNOWN 0
#endif

/* struct _dictkeysobject, up to what is read of it. */
typedef struct {
    Py_ssize_t references;
    uint8_t log2_size;
    uint8_t log2_index_bytes;
    uint8_t kind; /* 0: keys of any type */
    uint32_t version;
    Py_ssize_t usable;
    Py_ssize_t entries;
} Keys;

/* struct _dictvalues from 3.13 on. */
typedef struct {
    uint8_t capacity;
    uint8_t size;
    uint8_t embedded;
    uint8_t valid;
} Values;

#define DEQUE_BLOCK ((64 + 2) * (Py_ssize_t)sizeof(void *)) /* Modules/_collectionsmodule.c */
#define DEQUE_SPARES 16

/* struct dequeobject, from there. */
typedef struct {
    PyObject_VAR_HEAD
    void *left, *right;
    Py_ssize_t left_index, right_index;
    size_t state;
    Py_ssize_t maxlen;
    Py_ssize_t spares; /* Blocks kept for later, which its __sizeof__ leaves out. */
    void *spare[DEQUE_SPARES];
    PyObject *weak_references;
} Deque;

#ifdef Py_GIL_DISABLED /* Where a dict stands before its instance (pycore_object.h). */
#define MANAGED_DICT (-1)
#else
#define MANAGED_DICT (-3)
#endif

static int keys_are_known;
static PyCFunction dict_size, str_size, object_size;

/* What a __sizeof__ written in C says; it cannot fail in a way that matters. */
static Py_ssize_t
asked_size(PyCFunction size, PyObject *item)
{
    PyObject *answer = size(item, NULL);
    Py_ssize_t bytes = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    if (bytes < 0) {
        PyErr_Clear();
        return 0;
    }
    return bytes;
}

Py_ssize_t
slow_atom_bytes(PyObject *atom)
{
    return allocated(asked_size(str_size, atom));
}

#if KEYS_ARE_KNOWN
static Py_ssize_t
keys_request(const Keys *keys)
{
    Py_ssize_t slots = ((Py_ssize_t)1 << keys->log2_size) * 2 / 3;
    Py_ssize_t entry = (Py_ssize_t)sizeof(void *) * (keys->kind == 0 ? 3 : 2);
    return (Py_ssize_t)sizeof(Keys) + ((Py_ssize_t)1 << keys->log2_index_bytes) + slots * entry;
}

/* The block of values of a dict that shares its keys, where the dict owns it. */
static Py_ssize_t
split_values_request(const PyDictObject *dict)
{
    const Keys *keys = (const Keys *)dict->ma_keys;
#if PY_VERSION_HEX >= 0x030D0000
    (void)keys;
    const Values *values = (const Values *)dict->ma_values;
    if (values->embedded) {
        return 0;
    }
    Py_ssize_t order = ((Py_ssize_t)values->capacity + 7) & ~(Py_ssize_t)7;
    return (values->capacity + 1) * (Py_ssize_t)sizeof(void *) + order;
#else
    Py_ssize_t prefix = ((const uint8_t *)dict->ma_values)[-1];
    return prefix + (keys->entries + keys->usable) * (Py_ssize_t)sizeof(void *);
#endif
}
#endif

static Py_ssize_t
dict_blocks(PyObject *item, const Type *type)
{
    const PyDictObject *dict = (PyDictObject *)item;
#if KEYS_ARE_KNOWN
    if (keys_are_known) {
        if (dict->ma_values != NULL) {
            return allocated(split_values_request(dict));
        }
        const Keys *keys = (const Keys *)dict->ma_keys;
        return keys->references == 1 ? allocated(keys_request(keys)) : 0;
    }
#endif
    (void)dict;
    Py_ssize_t rest = asked_size(dict_size, item) - type->type->tp_basicsize;
    return rest > 0 ? allocated(rest) : 0;
}

/* The block in which an instance keeps its attributes, where that is a block of its own; or the
   dict that looks at those inside the instance, which no traversal meets. */
static Py_ssize_t
values_bytes(PyObject *item, const Type *type)
{
#if PY_VERSION_HEX >= 0x030F0000
    (void)item;
    (void)type;
    return 0;
#elif PY_VERSION_HEX >= 0x030D0000
    const Values *values = (const Values *)((const char *)item + type->type->tp_basicsize);
    int is_inside = (type->type->tp_flags & Py_TPFLAGS_INLINE_VALUES) && values->valid;
    int is_open = is_inside && ((PyObject *const *)item)[MANAGED_DICT] != NULL;
    return is_open ? allocated(PyDict_Type.tp_basicsize + 2 * (Py_ssize_t)sizeof(void *)) : 0;
#else
#if PY_VERSION_HEX >= 0x030C0000
    const char *tagged = ((const char **)item)[-3];
    if (((uintptr_t)tagged & 1) == 0) {
        return 0; /* A dict, or nothing yet. */
    }
    const char *values = tagged + 1;
#else
    const char *values = ((const char **)item)[-4];
    if (values == NULL) {
        return 0;
    }
#endif
    const Keys *keys = (const Keys *)((PyHeapTypeObject *)type->type)->ht_cached_keys;
    Py_ssize_t prefix = ((const uint8_t *)values)[-1];
    /* The prefix is the number of slots, 2 more, rounded up to 8: it bounds what the class, which
       may have gained or lost a slot since, says. */
    Py_ssize_t slots = keys == NULL ? prefix - 2 : keys->entries + keys->usable;
    slots = slots > prefix - 2 ? prefix - 2 : slots < prefix - 9 ? prefix - 9 : slots;
    return allocated(prefix + slots * (Py_ssize_t)sizeof(void *));
#endif
}

/* What an object's own block has beyond its struct: values inside it. */
static Py_ssize_t
inline_values(PyObject *item, const Type *type)
{
#if PY_VERSION_HEX >= 0x030F0000
    return asked_size(object_size, item) - type->type->tp_basicsize;
#elif PY_VERSION_HEX >= 0x030D0000
    if (type->type->tp_flags & Py_TPFLAGS_INLINE_VALUES) {
        const Values *values = (const Values *)((const char *)item + type->type->tp_basicsize);
        Py_ssize_t order = ((Py_ssize_t)values->capacity + 7) & ~(Py_ssize_t)7;
        return (values->capacity + 1) * (Py_ssize_t)sizeof(void *) + order;
    }
#else
    (void)item;
    (void)type;
#endif
    return 0;
}

static Py_ssize_t
deque_blocks(PyObject *item, const Type *type)
{
    Py_ssize_t blocks = (asked_size(type->size, item) - type->type->tp_basicsize) / DEQUE_BLOCK;
#if PY_VERSION_HEX < 0x030F0000
    Py_ssize_t spares = ((const Deque *)item)->spares;
    if (type->type->tp_basicsize == sizeof(Deque) && spares >= 0 && spares <= DEQUE_SPARES) {
        blocks += spares;
    }
#endif
    return blocks * allocated(DEQUE_BLOCK);
}

static Py_ssize_t
object_bytes(PyObject *item, const Type *type)
{
    Py_ssize_t size = type->fixed, text = 0;
    if (PyUnicode_Check(item) && !PyUnicode_IS_COMPACT(item)) { /* Of a class derived from str. */
        text = allocated((PyUnicode_GET_LENGTH(item) + 1) * PyUnicode_KIND(item));
    }
    else if (type->size != NULL) {
        size = asked_size(type->size, item) + type->prefix;
    }
    else if (type->item != 0) {
        Py_ssize_t items = Py_SIZE(item);
        size += type->item * (items < 0 ? -items : items);
    }
    if (!type->has_values) {
        return allocated(size) + text;
    }
    return allocated(size + inline_values(item, type)) + values_bytes(item, type) + text;
}

Py_ssize_t
own_bytes(PyObject *item, const Type *type)
{
    Py_ssize_t size;
    switch (type->kind) {
    case KIND_SHARED:
    case KIND_ASKED:
        return 0;
    case KIND_LIST:
        size = ((PyListObject *)item)->allocated * (Py_ssize_t)sizeof(void *);
        return allocated(type->fixed) + (size ? allocated(size) : 0);
    case KIND_TUPLE:
        return Py_SIZE(item) == 0 ? 0 : allocated(type->fixed + Py_SIZE(item) * type->item);
    case KIND_SET: {
        const PySetObject *set = (PySetObject *)item;
        size = set->table == set->smalltable ? 0 : (set->mask + 1) * (Py_ssize_t)sizeof(setentry);
        return allocated(type->fixed) + (size ? allocated(size) : 0);
    }
    case KIND_DEQUE:
        return allocated(type->fixed) + deque_blocks(item, type);
    case KIND_ARRAY:
        return array_bytes(item, type);
    case KIND_DICT:
        if (type->type == &PyDict_Type) {
            return allocated(type->fixed) + dict_blocks(item, type);
        }
        return object_bytes(item, type);
    case KIND_FOREIGN: /* The rest is what its function says. */
    default:
        return object_bytes(item, type);
    }
}

/* The same for an instance of a class derived from a container, less its few attributes: whoever takes
   a sample need not meet all of its items to know how many there are. */
static Py_ssize_t
length_by_base(PyObject *item)
{
    if (PyList_Check(item) || PyTuple_Check(item)) {
        return Py_SIZE(item);
    }
    if (PyAnySet_Check(item)) {
        return ((PySetObject *)item)->used;
    }
    return -1;
}

Py_ssize_t
length_of(PyObject *item, const Type *type)
{
    switch (type->kind) {
    case KIND_LIST:
    case KIND_TUPLE:
    case KIND_DEQUE:
        return Py_SIZE(item);
    case KIND_SET:
        return ((PySetObject *)item)->used;
    case KIND_DICT:
        return ((PyDictObject *)item)->ma_values != NULL ? ((PyDictObject *)item)->ma_used
                                                         : 2 * ((PyDictObject *)item)->ma_used;
    case KIND_ARRAY:
        return array_length(item);
    default:
        return length_by_base(item);
    }
}

/* Whether the traversal of a dict leaves out its keys. */
static int
keys_are_text(PyDictObject *dict)
{
#if KEYS_ARE_KNOWN
    if (keys_are_known) {
        return ((const Keys *)dict->ma_keys)->kind != 0;
    }
#endif
    Py_ssize_t at = 0;
    PyObject *key;
    return PyDict_Next((PyObject *)dict, &at, &key, NULL) && PyUnicode_CheckExact(key);
}

static int
expand_dict(PyObject *item, const Type *type, visitproc visit, void *arg)
{
    PyDictObject *dict = (PyDictObject *)item;
    int by_hand = dict->ma_values == NULL;
    int is_exact = type->type == &PyDict_Type;
    if (!is_exact || !by_hand) {
        int stop = type->type->tp_traverse(item, visit, arg);
        if (stop || !by_hand || !keys_are_text(dict)) {
            return stop;
        }
    }
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(item, &at, &key, &value)) {
        int stop = visit(key, arg);
        if (!stop && is_exact) {
            stop = visit(value, arg);
        }
        if (stop) {
            return stop;
        }
    }
    return 0;
}

static int
expand_items(PyObject *const *items, Py_ssize_t count, visitproc visit, void *arg)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        if (items[at] != NULL) {
            int stop = visit(items[at], arg);
            if (stop) {
                return stop;
            }
        }
    }
    return 0;
}

int
expand(PyObject *item, const Type *type, visitproc visit, visitproc lend, void *arg)
{
    switch (type->kind) {
    case KIND_SHARED:
    case KIND_ASKED:
    case KIND_LEAF:
        return 0;
    case KIND_LIST:
        return expand_items(((PyListObject *)item)->ob_item, Py_SIZE(item), visit, arg);
    case KIND_TUPLE:
        return expand_items(((PyTupleObject *)item)->ob_item, Py_SIZE(item), visit, arg);
    case KIND_DICT:
        return expand_dict(item, type, visit, arg);
    case KIND_ARRAY:
        return array_expand(item, type, visit, lend, arg);
    case KIND_VIEW:
        return type->type->tp_traverse(item, lend, arg);
    default:
        return type->type->tp_traverse == NULL ? 0 : type->type->tp_traverse(item, visit, arg);
    }
}

static PyCFunction
sizeof_of(PyTypeObject *type)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)type, "__sizeof__");
    PyCFunction size = NULL;
    if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        size = ((PyMethodDescrObject *)method)->d_method->ml_meth;
    }
    Py_XDECREF(method);
    if (size == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_SystemError, "%s has no __sizeof__", type->tp_name);
    }
    return size;
}

/* Compares the keys as we read them with what `dict.__sizeof__` says of four dicts. */
static int
try_keys(void)
{
#if KEYS_ARE_KNOWN
    PyObject *dict = PyDict_New();
    int agree = dict != NULL;
    for (long number = 0; agree && number < 200; number++) {
        PyObject *key = number % 60 == 59 ? PyLong_FromLong(number)
                                          : PyUnicode_FromFormat("k%ld", number);
        if (key == NULL || PyDict_SetItem(dict, key, Py_None) < 0) {
            Py_XDECREF(key);
            Py_XDECREF(dict);
            return -1;
        }
        Py_DECREF(key);
        Py_ssize_t said = asked_size(dict_size, dict) - PyDict_Type.tp_basicsize;
        agree = said == keys_request((const Keys *)((PyDictObject *)dict)->ma_keys);
    }
    keys_are_known = agree;
    Py_XDECREF(dict);
    return dict == NULL ? -1 : 0;
#else
    return 0;
#endif
}

int
blocks_start(void)
{
    dict_size = sizeof_of(&PyDict_Type);
    str_size = dict_size == NULL ? NULL : sizeof_of(&PyUnicode_Type);
    object_size = str_size == NULL ? NULL : sizeof_of(&PyBaseObject_Type);
    return object_size == NULL ? -1 : try_keys();
}
