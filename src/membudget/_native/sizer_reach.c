/* In which MiB of the address space the parts of an entry lie: all of them, since one part that stays
   keeps an arena. Parts above 512 bytes are not in arenas, and what somebody else holds as well stays
   whatever happens; neither counts. Runs no Python code and takes no reference. */

#include "sizer_inside.h"
#include "sizer_reach.h"

#define PARTS 256 /* looked at in one entry: beyond, the rest is taken to lie with them */

typedef struct {
    PyObject *items[PARTS];
    int count;
    Reach *reach;
    PyObject *key;
    Py_ssize_t of_key; /* references to the key found inside */
} Walk;

static void
note_block(Reach *reach, const void *block)
{
    size_t place = (size_t)(uintptr_t)block >> 20;
    for (int at = 0; at < reach->count; at++) {
        if (reach->places[at] == place) {
            reach->parts[at]++;
            return;
        }
    }
    if (reach->count < PLACES_OF_ENTRY) {
        reach->places[reach->count] = place;
        reach->parts[reach->count++] = 1;
    }
}

static void
note_blocks(Reach *reach, PyObject *item, Py_ssize_t own)
{
    if (own != 0 && own <= POOLED) {
        note_block(reach, item);
    }
    if (PyList_CheckExact(item)) {
        PyListObject *list = (PyListObject *)item;
        if (list->ob_item != NULL && (size_t)list->allocated * sizeof(PyObject *) <= POOLED) {
            note_block(reach, list->ob_item);
        }
    }
    else if (PyDict_CheckExact(item)) {
        PyDictObject *dict = (PyDictObject *)item;
        if (dict->ma_values == NULL && dict->ma_used > 0 && dict->ma_used <= 10) {
            note_block(reach, dict->ma_keys);
        }
    }
}

static int
note_part(PyObject *item, void *arg)
{
    Walk *walk = arg;
    if (walk->count == PARTS) {
        return 1;
    }
    walk->of_key += item == walk->key;
    if (Py_REFCNT(item) != 1 || PyType_Check(item)) {
        return 0;
    }
    Py_ssize_t own = atom_bytes(item);
    note_blocks(walk->reach, item, own < 0 ? 1 : own);
    if (own < 0) {
        walk->items[walk->count++] = item;
    }
    return 0;
}

static int
skip_lent(PyObject *item, void *arg)
{
    (void)item;
    (void)arg;
    return 0;
}

void
sizer_reach(PyObject *key, PyObject *value, Reach *reach)
{
    Walk walk = {.count = 0, .reach = reach, .key = key, .of_key = 0};
    reach->count = 0;
    note_part(value, &walk);
    note_part(key, &walk);
    for (int next = 0; next < walk.count; next++) {
        const Type *type = type_known(Py_TYPE(walk.items[next]));
        if (type != NULL) {
            expand(walk.items[next], type, note_part, skip_lent, &walk);
        }
    }
    Py_ssize_t own = atom_bytes(key); /* A record often has its key within. */
    if (walk.of_key > 1 && Py_REFCNT(key) == walk.of_key && own >= 0) {
        note_blocks(reach, key, own);
    }
    if (reach->count == 0) { /* Held by others as well, or large: where it is. */
        note_block(reach, value);
    }
    int most = 0;
    for (int at = 1; at < reach->count; at++) {
        most = reach->parts[at] > reach->parts[most] ? at : most;
    }
    size_t place = reach->places[most];
    reach->places[most] = reach->places[0];
    reach->places[0] = place;
}
