/* What a mapping with an order has besides: its ends, and a default put in where nothing stands.

   The order is that of use, so this is for tables with the policy LRU. */

#include "table.h"

PyObject *
table_setdefault(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *held = NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_setdefault takes a key and a value");
        return NULL;
    }
    if (table_put(table, arguments[0], arguments[1], NULL, NULL, &held) < 0) {
        return NULL;
    }
    return held != NULL ? held : Py_NewRef(arguments[1]);
}

/* 1 and what was taken out, or 0. */
static int
take_end(Table *table, int is_newest, Gone *gone)
{
    const Queue *queue = &table->contents.queues[MAIN];
    Id id = is_newest ? queue->newest : queue->oldest;
    if (id == NONE) {
        return 0;
    }
    *gone = entry_remove(table, id);
    return 1;
}

PyObject *
table_popitem(Table *table, PyObject *newest)
{
    int is_newest = PyObject_IsTrue(newest), is_there;
    Gone gone;
    if (is_newest < 0) {
        return NULL;
    }
    LOCKED(table, is_there = take_end(table, is_newest, &gone));
    return is_there ? Py_BuildValue("(NN)", gone.key, gone.value) : Py_NewRef(Py_None);
}

/* Makes an entry the oldest. */
static void
move_oldest(Contents *contents, Id id, Entry *entry)
{
    if (entry->older == NONE) {
        return;
    }
    Queue *queue = queue_at(contents, entry->queue);
    queue_unlink(contents, entry);
    entry->older = NONE;
    entry->newer = queue->oldest;
    entry_at(contents, queue->oldest)->older = id;
    queue->oldest = id;
    queue->count++;
    queue->bytes += (uint64_t)entry->weight;
}

/* 1 where it was there, 0, or -1 with an exception. */
static int
move_to_end(Table *table, PyObject *key, int is_newest)
{
    Id id;
    uint32_t tag = key_tag(key);
    if (tag == 0) {
        return -1;
    }
    int found = table_find(table, key, tag, &id);
    if (found > 0) {
        Contents *contents = &table->contents;
        Entry *entry = entry_at(contents, id);
        if (is_newest) {
            policy_hit(table, id, entry);
        }
        else {
            move_oldest(contents, id, entry);
        }
    }
    return found;
}

PyObject *
table_move_to_end(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_move_to_end takes a key and whether it is the newest");
        return NULL;
    }
    int is_newest = PyObject_IsTrue(arguments[1]), found;
    if (is_newest < 0) {
        return NULL;
    }
    if (table->policy != POLICY_LRU) { /* The others' queues say by their order what goes next. */
        PyErr_SetString(PyExc_RuntimeError, "_move_to_end is for the order of use alone");
        return NULL;
    }
    LOCKED(table, found = move_to_end(table, arguments[0], is_newest));
    return found < 0 ? NULL : PyBool_FromLong(found);
}
