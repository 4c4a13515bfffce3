/* Taking a value in.

   All that may run code of the program or fail comes first: the key's hash, the times and sizes given,
   the weighing, the clock, the search for the key, and room in every structure. Then the entry is
   written, what has expired and what is too much is taken out, and the structure is closed. What was
   taken out is dropped and told last, and the bytes are claimed from the budget. */

#include "table_arguments.h"

#define FORGET_EVERY 1024
#define SWEPT_AT_A_SET 2

/* What a set is about to write. */
typedef struct {
    PyObject *key, *value;
    uint32_t tag;
    int64_t weight;
    int is_refused;
    uint8_t flags;
    double now, expires;
    int64_t most_entries;
} Coming;

static PyObject *
tell_bytes(Table *table, PyObject *method, int64_t bytes)
{
    PyObject *number = PyLong_FromLongLong(bytes);
    PyObject *answer = number ? PyObject_CallMethodOneArg((PyObject *)table, method, number) : NULL;
    drop(number);
    return answer;
}

static int
is_quiet(PyObject *key)
{
    return PyUnicode_CheckExact(key) || PyLong_CheckExact(key) || PyBytes_CheckExact(key);
}

/* Finds out what the entry weighs; -1 with an exception. */
static int
weigh_coming(Table *table, Coming *coming, PyObject *size)
{
    int64_t bytes;
    coming->flags = 0;
    if ((size == NULL || size == Py_None) && table->size == NULL) {
        int traits;
        bytes = weigh_entry(table, coming->key, coming->value, &traits);
        if (bytes < 0) {
            return -1;
        }
        coming->flags = traits & ATOMIC ? (is_quiet(coming->key) ? 0 : NOTED) : LOOSE | NOTED;
    }
    else {
        bytes = size == NULL || size == Py_None ? ask_size(table, coming->value) : read_size(size);
        if (bytes < 0) {
            return -1;
        }
        Py_ssize_t of_key = sizer_alone(coming->key);
        if (of_key < 0) {
            return -1;
        }
        bytes = bytes > INT64_MAX - of_key ? INT64_MAX : bytes + of_key;
    }
    int is_over = bytes > INT64_MAX - table->entry_bytes;
    coming->weight = is_over ? INT64_MAX : bytes + table->entry_bytes;
    if (table->max_bytes >= 0) {
        coming->is_refused = is_over || coming->weight > table->max_bytes;
    }
    else {
        coming->is_refused = 0;
        coming->weight = coming->weight < HEAVIEST ? coming->weight : HEAVIEST;
    }
    if (UNLIKELY(coming->weight >= BATCH_BYTES && !coming->is_refused)) {
        PyObject *answer = tell_bytes(table, names_of.refuses, coming->weight);
        coming->is_refused = answer == Py_True;
        drop(answer);
        if (answer == NULL) {
            return -1;
        }
    }
    if (PyType_IS_GC(Py_TYPE(coming->key)) || PyType_IS_GC(Py_TYPE(coming->value))) {
        coming->flags |= COLLECTED;
    }
    return 0;
}

/* Readies all that is needed before the table is opened; -1 with an exception. */
static int
prepare(Table *table, Coming *coming, PyObject *ttl, PyObject *size)
{
    coming->tag = key_tag(coming->key);
    if (coming->tag == 0) {
        return -1;
    }
    policy_prefetch(table, coming->tag);
    double lasts = ttl == NULL || ttl == Py_None ? table->ttl : read_ttl(ttl);
    if (lasts < 0) {
        return -1;
    }
    if (weigh_coming(table, coming, size) < 0) {
        return -1;
    }
    if ((coming->flags & LOOSE) && recent_weigh(table) < 0) {
        return -1;
    }
    if (most_entries_now(table, &coming->most_entries) < 0) {
        return -1;
    }
    /* Where nothing expires, the time is for the statistics only. */
    if (table->now == NULL && lasts == Py_HUGE_VAL && table->idle_ticks == 0
        && table->contents.wheel.count == 0) {
        coming->now = clock_coarse();
    }
    else if (table_now(table, &coming->now) < 0) {
        return -1;
    }
    coming->expires = coming->now + lasts;
    return 0;
}

/* Writes the entry under a key that there is already; returns the value it replaces. */
static PyObject *
replace(Table *table, const Coming *coming, Id id)
{
    Contents *contents = &table->contents;
    Entry *entry = entry_at(contents, id);
    PyObject *replaced = entry->value;
    wheel_remove(contents, entry);
    if ((entry->flags & NOTED) && replaced != coming->value) {
        sizer_gone(table->shares, entry->key, replaced);
    }
    if ((coming->flags & NOTED) && coming->key != entry->key) {
        sizer_key_not_kept(table->shares, coming->key, coming->value);
    }
    uint8_t collected = entry->flags & COLLECTED; /* Its key's, maybe. */
    contents->loose += (uint32_t)(coming->flags & LOOSE) - (uint32_t)(entry->flags & LOOSE);
    int64_t before = entry->weight;
    entry->value = Py_NewRef(coming->value);
    entry->weight = coming->weight;
    entry->flags = coming->flags | collected;
    entry->expires = coming->expires;
    policy_reweighed(table, id, entry, before);
    policy_hit(table, id, entry);
    return replaced;
}

/* Writes a new entry; all has room for it. */
static Id
insert(Table *table, const Coming *coming)
{
    Contents *contents = &table->contents;
    Id id = entries_take(contents);
    Entry *entry = entry_at(contents, id);
    entry->key = Py_NewRef(coming->key);
    entry->value = Py_NewRef(coming->value);
    entry->expires = coming->expires;
    entry->weight = coming->weight;
    entry->tag = coming->tag;
    entry->later = NONE;
    entry->flags = coming->flags;
    contents->loose += coming->flags & LOOSE;
    table->version++; /* A search under way, whose `__eq__` led here, begins anew. */
    policy_insert(table, id);
    index_insert(&contents->index, coming->tag, id);
    return id;
}

/* Opens the table: writes the entry, and takes out what has expired and a batch of what is too much.
   Returns 1 and the value replaced, if any, or -1 with an exception. */
static int
write_entry(Table *table, const Coming *coming, Id id, PyObject **replaced, Batch *batch)
{
    Contents *contents = &table->contents;
    if ((coming->expires != Py_HUGE_VAL || table->idle_ticks != 0)
        && wheel_reserve(&contents->wheel) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (policy_reserve(table, coming->weight) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (id != NONE) {
        *replaced = replace(table, coming, id);
    }
    else {
        if (index_reserve(table) < 0 || entries_reserve(contents) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        id = insert(table, coming);
    }
    Entry *entry = entry_at(contents, id);
    policy_note_fresh(table, id);
    entry->used = (uint32_t)tick_of(table, coming->now);
    if (is_timed(table, entry)) {
        wheel_add(table, id, coming->now);
    }
    if (coming->flags & LOOSE) {
        recent_note(table, id);
    }
    if (++table->sets % FORGET_EVERY == 0) {
        table->forgotten_hits += (table->hits - table->forgotten_hits) / 2;
    }
    for (int swept = 0; contents->wheel.count > 0 && swept < SWEPT_AT_A_SET; swept++) {
        Id due = wheel_next_due(table, coming->now);
        if (due == NONE) {
            break;
        }
        let_go(table, due, CAUSE_EXPIRED, coming->now, batch);
    }
    if (excess(table, coming->most_entries) >= 0) {
        Reason reason = {.rule = UNTIL_WITHIN, .most_entries = coming->most_entries};
        let_go_batch(table, &reason, coming->now, batch);
    }
    table->claimed += coming->weight;
    return 1;
}

/* Keeps the first error; later ones are dropped. */
static void
keep_error(PyObject **kept)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (*kept != NULL) {
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(trace);
        return;
    }
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    *kept = error;
}

/* After a set: drops and tells what was let go, lets go of what is still too much, claims. */
static int
settle(Table *table, Batch *batch)
{
    PyObject *error = NULL;
    Slice slice;
    slice_begin(&slice);
    for (;;) {
        if (batch_tell(table, batch) < 0) {
            keep_error(&error);
        }
        Reason reason = {.rule = UNTIL_WITHIN};
        double now;
        if (most_entries_now(table, &reason.most_entries) < 0) {
            keep_error(&error);
            break;
        }
        if (excess(table, reason.most_entries) < 0) {
            break;
        }
        slice_check(&slice);
        if (table_now(table, &now) < 0) {
            keep_error(&error);
            break;
        }
        let_go_batch(table, &reason, now, batch);
        if (batch->count == 0) {
            break;
        }
    }
    if (table->claimed >= table->claim_quantum) {
        int64_t claimed = table->claimed;
        table->claimed = 0;
        PyObject *answer = tell_bytes(table, names_of.claim, claimed);
        if (answer == NULL) {
            keep_error(&error);
        }
        Py_XDECREF(answer);
    }
    if (error != NULL) {
        PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
        return -1;
    }
    return 0;
}

static int
refuse(Table *table, const Coming *coming, Id id)
{
    table->refused++;
    if (id != NONE) {
        Gone gone = entry_remove(table, id);
        gone_drop(&gone);
    }
    if (coming->flags & NOTED) {
        sizer_gone(table->shares, coming->key, coming->value);
    }
    return 0;
}

/* After a failure: what was weighed is not taken in, so what it shares is forgotten. Where the same
   value is kept already, that is known again when it is next weighed. */
static int
give_up(Table *table, const Coming *coming)
{
    if (coming->flags & NOTED) {
        sizer_gone(table->shares, coming->key, coming->value);
    }
    return -1;
}

static int
put(Table *table, PyObject *key, PyObject *value, PyObject *ttl, PyObject *size, PyObject **held)
{
    Coming coming;
    coming.key = key;
    coming.value = value;
    coming.flags = 0;
    if (UNLIKELY(table_check(table) < 0)) {
        return -1;
    }
    if (UNLIKELY(prepare(table, &coming, ttl, size) < 0)) {
        return give_up(table, &coming);
    }
    Id id = NONE;
    int found = table_find(table, key, coming.tag, &id);
    if (UNLIKELY(found < 0)) {
        return give_up(table, &coming);
    }
    if (found == 0) {
        id = NONE;
    }
    else if (held != NULL) {
        Entry *entry = entry_at(&table->contents, id);
        if (!is_timed(table, entry) || !has_ended(table, entry, coming.now)) {
            *held = Py_NewRef(entry->value);
            if (table->idle_ticks != 0) {
                entry->used = (uint32_t)tick_of(table, coming.now);
            }
            policy_hit(table, id, entry);
            give_up(table, &coming);
            return 0;
        }
    }
    if (UNLIKELY(coming.is_refused)) {
        return refuse(table, &coming, id);
    }
    PyObject *replaced = NULL;
    Batch batch;
    batch.count = 0;
    if (UNLIKELY(write_entry(table, &coming, id, &replaced, &batch) < 0)) {
        return give_up(table, &coming);
    }
    Py_XDECREF(replaced);
    if (batch.count == 1 && !table->listens && batch.items[0].weight < BATCH_BYTES
        && table->claimed < table->claim_quantum) {
        batch.count = 0;
        gone_drop(&batch.items[0]); /* The usual case, without what follows. */
        return 1;
    }
    if ((batch.count > 0 || table->claimed >= table->claim_quantum) && settle(table, &batch) < 0) {
        return -1;
    }
    return 1;
}

int
table_put(Table *table, PyObject *key, PyObject *value, PyObject *ttl, PyObject *size,
          PyObject **held)
{
    int taken;
    LOCKED(table, taken = put(table, key, value, ttl, size, held));
    if (UNLIKELY(table->trimming.gone >= table->trimming.apart)) {
        trim_paced(table);
    }
    return taken;
}

/* Compares the name of an argument. Names are short, and this is on the way of each set. */
static int
is_name(PyObject *name, const char *wanted)
{
    size_t length = strlen(wanted);
    return PyUnicode_IS_COMPACT_ASCII(name) && (size_t)PyUnicode_GET_LENGTH(name) == length
           && memcmp(PyUnicode_1BYTE_DATA(name), wanted, length) == 0;
}

PyObject *
table_set(Table *table, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *key = NULL, *value = NULL, *ttl = NULL, *size = NULL;
    if (count > 2) {
        PyErr_Format(PyExc_TypeError, "set() takes a key and a value, ttl= and size= (%zd given)",
                     count);
        return NULL;
    }
    key = count > 0 ? arguments[0] : NULL;
    value = count > 1 ? arguments[1] : NULL;
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t at = 0; at < named; at++) {
        PyObject *name = PyTuple_GET_ITEM(names, at);
        PyObject **place = is_name(name, "ttl")     ? &ttl
                           : is_name(name, "size")  ? &size
                           : is_name(name, "key")   ? &key
                           : is_name(name, "value") ? &value
                                                    : NULL;
        if (place == NULL || *place != NULL) {
            PyErr_Format(PyExc_TypeError, "set() got %s argument %R",
                         place == NULL ? "an unexpected" : "twice the", name);
            return NULL;
        }
        *place = arguments[count + at];
    }
    if (key == NULL || value == NULL) {
        PyErr_SetString(PyExc_TypeError, "set() needs a key and a value");
        return NULL;
    }
    int taken = table_put(table, key, value, ttl, size, NULL);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

/* Sets each pair of an iterable; how many were taken in, or -1 with an exception. */
static Py_ssize_t
set_pairs(Table *table, PyObject *pairs, PyObject *ttl)
{
    PyObject *iterator = PyObject_GetIter(pairs), *item;
    if (iterator == NULL) {
        return -1;
    }
    Py_ssize_t total = 0;
    unsigned count = 0;
    Slice slice;
    slice_begin(&slice);
    while (total >= 0 && (item = PyIter_Next(iterator)) != NULL) {
        PyObject *pair = PySequence_Tuple(item);
        drop(item);
        int taken = -1;
        if (pair != NULL && PyTuple_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_ValueError, "set_many() takes pairs of key and value, got %R", pair);
        }
        else if (pair != NULL) {
            taken = table_put(table, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), ttl,
                              NULL, NULL);
        }
        drop(pair);
        total = taken < 0 ? -1 : total + taken;
        if ((++count & 15) == 0) { /* A value may take long to weigh. */
            slice_check(&slice);
        }
    }
    drop(iterator);
    return PyErr_Occurred() ? -1 : total;
}

PyObject *
table_set_many(Table *table, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (count != 1 || named > 1
        || (named == 1
            && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "ttl") != 0)) {
        PyErr_SetString(PyExc_TypeError, "set_many() takes a mapping or pairs, and ttl=");
        return NULL;
    }
    PyObject *ttl = named == 1 ? arguments[1] : NULL, *pairs = NULL;
    if (PyObject_HasAttr(arguments[0], names_of.items)) {
        pairs = PyObject_CallMethodNoArgs(arguments[0], names_of.items);
    }
    else {
        pairs = Py_NewRef(arguments[0]);
    }
    if (pairs == NULL) {
        return NULL;
    }
    Py_ssize_t total = set_pairs(table, pairs, ttl);
    drop(pairs);
    return total < 0 ? NULL : PyLong_FromSsize_t(total);
}
