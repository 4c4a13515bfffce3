/* Taking entries out: one, a batch, all.

   What is taken out is first gathered with its references, while the structure is open, and dropped
   and told after it is closed: a finalizer or a listener may do anything. A batch is small, so nobody
   waits long, and the reasons to go on are looked at anew before the next one. */

#include "table.h"

#define NO_TABLE "this table was never made: call super().__init__(...) first"

PyObject *cause_names[CAUSES];
struct Names names_of;

int
names_start(void)
{
    struct {
        PyObject **name;
        const char *words;
    } all[] = {{&names_of.told, "_told"},
               {&names_of.claim, "_claim"},
               {&names_of.refuses, "_refuses"},
               {&names_of.meter, "meter"},
               {&names_of.name, "name"},
               {&names_of.keys, "keys"},
               {&names_of.items, "items"},
               {&cause_names[CAUSE_BYTES], "bytes"},
               {&cause_names[CAUSE_ENTRIES], "entries"},
               {&cause_names[CAUSE_PRESSURE], "pressure"},
               {&cause_names[CAUSE_SHARE], "share"},
               {&cause_names[CAUSE_EXPIRED], "expired"}};
    for (size_t at = 0; at < sizeof(all) / sizeof(all[0]); at++) {
        if (*all[at].name == NULL) {
            *all[at].name = PyUnicode_InternFromString(all[at].words);
        }
        if (*all[at].name == NULL) {
            return -1;
        }
    }
    return 0;
}

int
table_check(Table *table)
{
    if (LIKELY(table->is_ready)) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError, NO_TABLE);
    return -1;
}

int
table_now(Table *table, double *now)
{
    if (LIKELY(table->now == NULL)) {
        *now = clock_precise();
        return 0;
    }
    PyObject *clock = Py_NewRef(table->now);
    PyObject *answer = PyObject_CallNoArgs(clock);
    drop(clock);
    if (answer == NULL) {
        return -1;
    }
    *now = PyFloat_AsDouble(answer);
    drop(answer);
    return *now == -1.0 && PyErr_Occurred() ? -1 : 0;
}

int
ask_most_entries(Table *table, int64_t *most)
{
    if (table->registry == NULL) {
        return 0;
    }
    PyObject *registry = Py_NewRef(table->registry);
    PyObject *meter = PyObject_GetAttr(registry, names_of.meter);
    drop(registry);
    if (meter == NULL) {
        return -1;
    }
    if (meter != Py_None) {
        table->kept_entries = 0;
    }
    else if (table->free_entries < 0) {
        *most = DEFAULT_ENTRIES;
    }
    else { /* What a budget let it hold is not dropped because that has ended. */
        if (table->kept_entries == 0) {
            int64_t held = (int64_t)entry_count(&table->contents);
            table->kept_entries = held > table->free_entries ? held : table->free_entries;
        }
        *most = table->kept_entries;
    }
    Py_DECREF(meter);
    return 0;
}

static Gone
take_out(Table *table, Id id, Entry *entry, int is_evicted)
{
    Contents *contents = &table->contents;
    table->version++;
    index_remove(&contents->index, entry->tag, id);
    wheel_remove(contents, entry);
    policy_leave(table, id, entry, is_evicted);
    if (contents->fresh == id) {
        contents->fresh = NONE;
    }
    contents->loose -= entry->flags & LOOSE;
    if (entry->flags & NOTED) {
        sizer_gone(table->shares, entry->key, entry->value);
    }
    Gone gone = {entry->key, entry->value, entry->weight, -1};
    entries_give(contents, id);
    return gone;
}

Gone
entry_remove(Table *table, Id id)
{
    return take_out(table, id, entry_at(&table->contents, id), 0);
}

int64_t
let_go(Table *table, Id id, int cause, double now, Batch *batch)
{
    Entry *entry = entry_at(&table->contents, id);
    if (cause == CAUSE_EXPIRED || has_ended(table, entry, now)) {
        cause = CAUSE_EXPIRED;
        table->expirations++;
    }
    else {
        table->evictions[cause]++;
        table->bytes_evicted += (uint64_t)entry->weight;
        if (entry->weight >= LEAVES_HOLES && table->max_bytes >= 0) {
            table->trimming.gone += entry->weight;
        }
    }
    Gone *gone = &batch->items[batch->count++];
    *gone = take_out(table, id, entry, cause != CAUSE_EXPIRED);
    gone->cause = cause;
    return gone->weight;
}

int64_t
let_go_batch(Table *table, const Reason *reason, double now, Batch *batch)
{
    int64_t freed = 0;
    while (batch->count < BATCH && freed < BATCH_BYTES) {
        int cause = CAUSE_EXPIRED;
        if (reason->rule == UNTIL_WITHIN) {
            cause = excess(table, reason->most_entries);
        }
        else if (reason->rule == UNTIL_FREED) {
            cause = freed < reason->target ? reason->cause : -1;
        }
        if (cause < 0) {
            break;
        }
        Id id = wheel_next_due(table, now);
        if (id == NONE && cause != CAUSE_EXPIRED) {
            id = policy_victim(table);
        }
        if (id == NONE) {
            break;
        }
        freed += let_go(table, id, cause, now, batch);
    }
    return freed;
}

void
gone_drop(Gone *gone)
{
    drop(gone->key);
    drop(gone->value);
}

PyObject *
batch_close(Table *table, Batch *batch)
{
    PyObject *told = NULL;
    if (table->listens) {
        told = PyList_New(batch->count);
        if (told != NULL) { /* Whoever walks the collector's objects must not find it half filled. */
            PyObject_GC_UnTrack(told);
        }
        for (int at = 0; told != NULL && at < batch->count; at++) {
            Gone *gone = &batch->items[at];
            PyObject *one = Py_BuildValue("OOLO", gone->key, gone->value, (long long)gone->weight,
                                          cause_names[gone->cause]);
            if (one == NULL) {
                drop(told);
                told = NULL;
                break;
            }
            PyList_SET_ITEM(told, at, one);
        }
        if (told != NULL) {
            PyObject_GC_Track(told);
        }
    }
    int count = batch->count;
    batch->count = 0;
    for (int at = 0; at < count; at++) {
        gone_drop(&batch->items[at]);
    }
    return told;
}

int
batch_tell(Table *table, Batch *batch)
{
    if (batch->count == 0) {
        return 0;
    }
    PyObject *told = batch_close(table, batch);
    if (told == NULL) {
        return table->listens ? -1 : 0;
    }
    PyObject *answer = PyObject_CallMethodOneArg((PyObject *)table, names_of.told, told);
    drop(told);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

/* Frees what was detached, or what nobody can reach any more. A patient caller lets other threads run
   in between. */
void
contents_free(Contents *old, int is_patient)
{
    Slice slice;
    slice_begin(&slice);
    Entries *entries = &old->entries;
    for (uint32_t number = 0; number < entries->count; number++) {
        Entry *block = entries->blocks[number];
        for (uint32_t at = 0; at < entries->chunks[number].top; at++) {
            Entry *entry = &block[at];
            if (entry->key != NULL) {
                PyObject *key = entry->key, *value = entry->value;
                entry->key = entry->value = NULL;
                Py_DECREF(key);
                Py_DECREF(value);
            }
            if ((at & 255) == 255 && is_patient) {
                slice_check(&slice);
            }
        }
    }
    PyThreadState *state = is_patient ? PyEval_SaveThread() : NULL;
    entries_free(entries);
    index_free(&old->index);
    ghost_free(&old->ghost);
    gdsf_free(&old->gdsf);
    PyMem_RawFree(old->wheel.ends);
    if (state != NULL) {
        PyEval_RestoreThread(state);
    }
}

int
table_clear_contents(Table *table, int is_patient)
{
    Contents old = table->contents, *contents = &table->contents;
    table->version++;
    memset(contents, 0, sizeof(*contents));
    index_start(&contents->index);
    policy_start(contents);
    contents->fresh = NONE;
    contents->wheel.tick = old.wheel.tick;
    plan_free(table->plan);
    table->plan = NULL;
    if (table->weighing == 0) { /* Else it stays, and is less exact for a while. */
        shares_free(table->shares);
        table->shares = table->is_ready ? shares_new() : NULL; /* NULL: of others nothing is known. */
    }
    contents_free(&old, is_patient);
    return 0;
}

PyObject *
table_clear(Table *table, PyObject *nothing)
{
    (void)nothing;
    LOCKED(table, table_clear_contents(table, 1));
    Py_RETURN_NONE;
}

/* The answer of a step: bytes, and what is to be told where somebody listens. */
PyObject *
step_result(Table *table, int64_t freed, Batch *batch)
{
    PyObject *told = batch_close(table, batch);
    if (told == NULL && table->listens) {
        return NULL;
    }
    PyObject *answer = Py_BuildValue("LO", (long long)freed, told == NULL ? Py_None : told);
    drop(told);
    return answer;
}

static PyObject *
step(Table *table, Reason reason)
{
    Batch batch;
    double now;
    batch.count = 0;
    if (table_check(table) < 0 || most_entries_now(table, &reason.most_entries) < 0
        || table_now(table, &now) < 0) {
        return NULL;
    }
    int64_t freed = let_go_batch(table, &reason, now, &batch);
    return step_result(table, freed, &batch);
}

PyObject *
table_evict(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    Reason reason = {.rule = UNTIL_FREED, .cause = -1};
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_evict takes a target in bytes and a cause");
        return NULL;
    }
    int is_over;
    reason.target = PyLong_AsLongLongAndOverflow(arguments[0], &is_over);
    if (reason.target == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (is_over != 0) {
        reason.target = is_over > 0 ? INT64_MAX : 0;
    }
    for (int cause = 0; cause < CAUSE_EXPIRED && PyUnicode_Check(arguments[1]); cause++) {
        if (PyUnicode_Compare(arguments[1], cause_names[cause]) == 0) {
            reason.cause = cause;
        }
    }
    if (reason.cause < 0) {
        PyErr_Format(PyExc_ValueError, "cause %R: use bytes, entries, share or pressure",
                     arguments[1]);
        return NULL;
    }
    PyObject *answer;
    LOCKED(table, answer = step(table, reason));
    return answer;
}

PyObject *
table_enforce(Table *table, PyObject *nothing)
{
    (void)nothing;
    PyObject *answer;
    LOCKED(table, answer = step(table, (Reason){.rule = UNTIL_WITHIN}));
    return answer;
}

PyObject *
table_sweep(Table *table, PyObject *nothing)
{
    (void)nothing;
    PyObject *answer;
    LOCKED(table, answer = step(table, (Reason){.rule = UNTIL_SWEPT}));
    return answer;
}
