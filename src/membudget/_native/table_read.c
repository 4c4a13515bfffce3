/* The methods of a mapping, `set` and the steps aside. */

#include "table.h"

/* Takes out an entry found expired, and tells it; -1 with an exception. */
static int
expire(Table *table, Id id, double now)
{
    Batch batch;
    batch.count = 0;
    let_go(table, id, CAUSE_EXPIRED, now, &batch);
    return batch_tell(table, &batch) < 0 ? -1 : 0;
}

/* Whether an entry has ended, where the clock is our own. The coarse clock is quicker and never
   ahead, so the precise one is read near the end only. */
static int
has_ended_by_now(const Table *table, const Entry *entry, double *now)
{
    if (table->idle_ticks == 0) {
        *now = clock_coarse();
        if (entry->expires > *now + COARSE) {
            return 0;
        }
    }
    *now = clock_precise();
    return has_ended(table, entry, *now);
}

/* What a search came to: 1 for a live entry, 0 for none, 2 for one that has expired, -1 with an
   exception. `now` is set where the entry is timed. */
static int
find_live(Table *table, PyObject *key, Id *id, double *now)
{
    uint32_t tag = key_tag(key);
    if (UNLIKELY(tag == 0)) {
        return -1;
    }
    int found = table_find(table, key, tag, id);
    if (found <= 0) {
        return found;
    }
    const Entry *entry = entry_at(&table->contents, *id);
    if (LIKELY(!is_timed(table, entry))) {
        return 1;
    }
    if (LIKELY(table->now == NULL)) {
        return has_ended_by_now(table, entry, now) ? 2 : 1;
    }
    /* A clock of the program may do anything, so the search is done anew. */
    if (table_now(table, now) < 0) {
        return -1;
    }
    found = table_find(table, key, tag, id);
    if (found <= 0) {
        return found;
    }
    return has_ended(table, entry_at(&table->contents, *id), *now) ? 2 : 1;
}

/* A lookup that counts: 1 and a new reference to the value, 0, or -1 with an exception. */
static inline int
look_up(Table *table, PyObject *key, PyObject **value)
{
    Id id;
    double now = 0;
    int found = find_live(table, key, &id, &now);
    if (LIKELY(found == 1)) {
        Entry *entry = entry_at(&table->contents, id);
        *value = Py_NewRef(entry->value);
        table->hits++;
        if (UNLIKELY(table->idle_ticks != 0)) {
            entry->used = (uint32_t)tick_of(table, now);
        }
        policy_hit(table, id, entry);
        return 1;
    }
    if (found < 0) {
        return -1;
    }
    table->misses++;
    return found == 2 ? expire(table, id, now) : 0;
}

/* The same, and nothing is changed. */
static int
peek(Table *table, PyObject *key, PyObject **value)
{
    Id id;
    double now;
    int found = find_live(table, key, &id, &now);
    if (found == 1) {
        *value = Py_NewRef(entry_at(&table->contents, id)->value);
        return 1;
    }
    return found < 0 ? -1 : 0;
}

/* Takes a value out: 1 and the value, 0, or -1 with an exception. */
static int
take(Table *table, PyObject *key, PyObject **value)
{
    Id id;
    double now;
    int found = find_live(table, key, &id, &now);
    if (found == 1) {
        Gone gone = entry_remove(table, id);
        *value = gone.value;
        Py_DECREF(gone.key);
        return 1;
    }
    return found == 2 ? expire(table, id, now) : found;
}

/* Reads `key, default`; -1 with an exception. */
static int
read_arguments(const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
               PyObject **key, PyObject **fallback)
{
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    *key = count > 0 ? arguments[0] : NULL;
    *fallback = count > 1 ? arguments[1] : NULL;
    int is_wrong = count > 2;
    for (Py_ssize_t at = 0; at < named && !is_wrong; at++) {
        PyObject *word = PyTuple_GET_ITEM(names, at);
        PyObject **place = PyUnicode_CompareWithASCIIString(word, "default") == 0 ? fallback
                           : PyUnicode_CompareWithASCIIString(word, "key") == 0   ? key
                                                                                  : NULL;
        is_wrong = place == NULL || *place != NULL;
        if (!is_wrong) {
            *place = arguments[count + at];
        }
    }
    if (is_wrong || *key == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() takes a key and, if any, a default", name);
        return -1;
    }
    return 0;
}

PyObject *
table_get(Table *table, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *key, *fallback, *value = NULL;
    if (LIKELY(names == NULL && count == 1)) {
        key = arguments[0];
        fallback = NULL;
    }
    else if (read_arguments("get", arguments, count, names, &key, &fallback) < 0) {
        return NULL;
    }
    int found;
    LOCKED(table, found = look_up(table, key, &value));
    if (LIKELY(found > 0)) {
        return value;
    }
    return found < 0 ? NULL : Py_NewRef(fallback != NULL ? fallback : Py_None);
}

PyObject *
table_peek(Table *table, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *key, *fallback, *value = NULL;
    if (read_arguments("peek", arguments, count, names, &key, &fallback) < 0) {
        return NULL;
    }
    int found;
    LOCKED(table, found = peek(table, key, &value));
    if (found > 0) {
        return value;
    }
    return found < 0 ? NULL : Py_NewRef(fallback != NULL ? fallback : Py_None);
}

static void
set_key_error(PyObject *key)
{
    PyObject *arguments = PyTuple_Pack(1, key); /* Else a tuple would be taken for the arguments. */
    if (arguments != NULL) {
        PyErr_SetObject(PyExc_KeyError, arguments);
        Py_DECREF(arguments);
    }
}

PyObject *
table_pop(Table *table, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *key, *fallback, *value = NULL;
    if (read_arguments("pop", arguments, count, names, &key, &fallback) < 0) {
        return NULL;
    }
    int found;
    LOCKED(table, found = take(table, key, &value));
    if (found > 0) {
        return value;
    }
    if (found == 0 && fallback == NULL) {
        set_key_error(key);
    }
    return found < 0 || fallback == NULL ? NULL : Py_NewRef(fallback);
}

PyObject *
table_delete(Table *table, PyObject *key)
{
    PyObject *value = NULL;
    int found;
    LOCKED(table, found = take(table, key, &value));
    Py_XDECREF(value);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

int
table_contains(Table *table, PyObject *key)
{
    PyObject *value = NULL;
    int found;
    LOCKED(table, found = peek(table, key, &value));
    Py_XDECREF(value);
    return found;
}

PyObject *
table_subscript(Table *table, PyObject *key)
{
    PyObject *value = NULL;
    int found;
    LOCKED(table, found = look_up(table, key, &value));
    if (found == 0) {
        set_key_error(key);
    }
    return found > 0 ? value : NULL;
}

int
table_ass_subscript(Table *table, PyObject *key, PyObject *value)
{
    if (value != NULL) {
        return table_put(table, key, value, NULL, NULL, NULL) < 0 ? -1 : 0;
    }
    int found;
    LOCKED(table, found = take(table, key, &value));
    Py_XDECREF(value);
    if (found == 0) {
        set_key_error(key);
    }
    return found > 0 ? 0 : -1;
}

PyObject *
table_get_many(Table *table, PyObject *keys)
{
    PyObject *found = PyDict_New(), *iterator = PyObject_GetIter(keys), *key;
    int is_done = found != NULL && iterator != NULL;
    unsigned count = 0;
    Slice slice;
    slice_begin(&slice);
    while (is_done && (key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = NULL;
        int answer;
        LOCKED(table, answer = look_up(table, key, &value));
        is_done = answer >= 0 && (answer == 0 || PyDict_SetItem(found, key, value) == 0);
        drop(value);
        drop(key);
        if ((++count & 255) == 0) {
            slice_check(&slice);
        }
    }
    drop(iterator);
    if (!is_done || PyErr_Occurred()) {
        drop(found);
        found = NULL;
    }
    return found;
}

PyObject *
table_ttl_left(Table *table, PyObject *key)
{
    Id id;
    double now = 0, ends = 0;
    int found;
    LOCKED(table, {
        found = find_live(table, key, &id, &now);
        if (found == 1) {
            ends = wheel_ends(table, entry_at(&table->contents, id), now);
        }
    });
    if (found < 0) {
        return NULL;
    }
    if (found != 1) {
        set_key_error(key);
        return NULL;
    }
    if (ends == Py_HUGE_VAL) {
        Py_RETURN_NONE;
    }
    if (table->now == NULL) {
        now = clock_precise(); /* So far it may be the coarse one's. */
    }
    return PyFloat_FromDouble(ends - now > 0 ? ends - now : 0.0);
}

enum { KEYS = 1, VALUES = 2, ITEMS = 3 };

/* References to the keys and values that are live, in order; how many entries, -1 with an exception.
   Nothing is allocated in between that could run the collector, so it is one moment's picture. */
static Py_ssize_t
picture(Table *table, int what, PyObject ***references)
{
    double now;
    *references = NULL;
    if (table_now(table, &now) < 0) {
        return -1;
    }
    const Contents *contents = &table->contents;
    size_t count = entry_count(contents), held = 0;
    PyObject **found = *references = PyMem_RawMalloc((count + 1) * 2 * sizeof(PyObject *));
    if (found == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int has_timed = contents->wheel.count > 0;
    for (unsigned number = 0; number < QUEUES; number++) {
        const Queue *queue = queue_at(contents, number);
        for (Id id = queue != NULL ? queue->oldest : NONE; id != NONE;) {
            const Entry *entry = entry_at(contents, id);
            id = entry->newer;
            if (has_timed && has_ended(table, entry, now)) {
                continue;
            }
            if (what & KEYS) {
                *found++ = Py_NewRef(entry->key);
            }
            if (what & VALUES) {
                *found++ = Py_NewRef(entry->value);
            }
            held++;
        }
    }
    return (Py_ssize_t)held;
}

static PyObject *
snapshot(Table *table, int what)
{
    PyObject **references;
    Py_ssize_t count;
    LOCKED(table, count = picture(table, what, &references));
    PyObject *list = count < 0 ? NULL : PyList_New(count);
    if (list != NULL) { /* Whoever walks the collector's objects must not find it half filled. */
        PyObject_GC_UnTrack(list);
    }
    Py_ssize_t at = 0, width = what == ITEMS ? 2 : 1;
    Slice slice;
    slice_begin(&slice);
    for (; list != NULL && at < count; at++) {
        PyObject *one = what == ITEMS ? PyTuple_New(2) : references[at];
        if (one == NULL) {
            drop(list);
            list = NULL;
            break;
        }
        if (what == ITEMS) {
            PyTuple_SET_ITEM(one, 0, references[at * 2]);
            PyTuple_SET_ITEM(one, 1, references[at * 2 + 1]);
        }
        PyList_SET_ITEM(list, at, one);
        if ((at & 4095) == 4095) {
            slice_check(&slice);
        }
    }
    for (at *= width; list == NULL && at < count * width; at++) {
        drop(references[at]);
    }
    PyMem_RawFree(references);
    if (list != NULL) {
        PyObject_GC_Track(list);
    }
    return list;
}

PyObject *
table_keys(Table *table, PyObject *nothing)
{
    (void)nothing;
    return snapshot(table, KEYS);
}

PyObject *
table_values(Table *table, PyObject *nothing)
{
    (void)nothing;
    return snapshot(table, VALUES);
}

PyObject *
table_items(Table *table, PyObject *nothing)
{
    (void)nothing;
    return snapshot(table, ITEMS);
}

/* New references to the values among so many entries, by their numbers; how many. */
static Py_ssize_t
some(const Contents *contents, Id start, Id end, PyObject **found)
{
    Py_ssize_t held = 0;
    for (Id id = start; id < end; id++) {
        if (entries_has(contents, id)) {
            found[held++] = Py_NewRef(entry_at(contents, id)->value);
        }
    }
    return held;
}

PyObject *
table_some_values(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_some_values takes where to begin and how many");
        return NULL;
    }
    int64_t start = PyLong_AsLongLong(arguments[0]), most = PyLong_AsLongLong(arguments[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (start < 0 || start >= NONE || most < 1 || most > CHUNK_ENTRIES) {
        PyErr_SetString(PyExc_ValueError, "_some_values takes a start from 0 and 1 to 16384");
        return NULL;
    }
    PyObject **found = PyMem_RawMalloc((size_t)most * sizeof(PyObject *));
    if (found == NULL) {
        return PyErr_NoMemory();
    }
    Py_ssize_t held;
    int64_t end;
    int is_last;
    LOCKED(table, {
        int64_t all = (int64_t)entries_end(&table->contents);
        is_last = start + most >= all;
        end = is_last ? all : start + most;
        held = end > start ? some(&table->contents, (Id)start, (Id)end, found) : 0;
    });
    PyObject *list = PyList_New(held);
    for (Py_ssize_t at = 0; at < held; at++) {
        if (list != NULL) {
            PyList_SET_ITEM(list, at, found[at]);
        } else {
            drop(found[at]);
        }
    }
    PyMem_RawFree(found);
    if (list == NULL) {
        return NULL;
    }
    return is_last ? Py_BuildValue("(NO)", list, Py_None) : Py_BuildValue("(NL)", list, end);
}

PyObject *
table_iter(Table *table)
{
    /* Through the method, which a subclass may have changed. */
    PyObject *keys = PyObject_CallMethodNoArgs((PyObject *)table, names_of.keys);
    if (keys == NULL) {
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(keys);
    drop(keys);
    return iterator;
}
