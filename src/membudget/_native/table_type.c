/* The type: how a table is made, what can be read of it, and what the garbage collector sees.

   The collector is shown all entries behind which it may find something, chunk by chunk; an entry of,
   say, str and bytes is passed over without touching either. */

#include "table.h"
#include <structmember.h>

/* What an entry takes: itself 64, its place in the index 12 to 23, in the ghost 8 to 16. Measured as
   growth of the process: see bench/cache. */
#define ENTRY_BYTES 92

#define CLAIM_QUANTUM (1 << 14)
#define MOST_IDLE ((double)(1 << 25)) /* A year in seconds: ticks of 32 bits tell one of two. */

/* A bound from an argument: an int, or -1 for None; -2 with an exception. */
static int64_t
read_bound(PyObject *bound)
{
    if (bound == NULL || bound == Py_None) {
        return -1;
    }
    int is_over;
    long long value = PyLong_AsLongLongAndOverflow(bound, &is_over);
    if (value == -1 && PyErr_Occurred()) {
        return -2;
    }
    if (is_over != 0) {
        return is_over > 0 ? INT64_MAX : 0;
    }
    return value < 0 ? 0 : value;
}

static PyObject *
show_bound(int64_t bound)
{
    return bound < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(bound);
}

/* Seconds from an argument; infinite for None, -1 with an exception. */
static double
read_seconds(PyObject *seconds)
{
    return seconds == Py_None ? Py_HUGE_VAL : PyFloat_AsDouble(seconds);
}

static PyObject *
table_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    (void)arguments;
    (void)names;
    Table *table = (Table *)type->tp_alloc(type, 0);
    if (table != NULL) {
        table_clear_contents(table, 0); /* Nothing, ready to be looked at. */
        table->max_bytes = table->max_entries = table->share = table->free_entries = -1;
        table->trimming.apart = LEAST_APART;
        table->ttl = Py_HUGE_VAL;
        table->claim_quantum = CLAIM_QUANTUM;
    }
    return (PyObject *)table;
}

static int
set_config_error(const char *words)
{
    PyObject *errors = PyImport_ImportModule("membudget.errors");
    PyObject *kind = errors != NULL ? PyObject_GetAttrString(errors, "ConfigError") : NULL;
    if (kind != NULL) {
        PyErr_SetString(kind, words);
    }
    Py_XDECREF(errors);
    Py_XDECREF(kind);
    return -1;
}

static int
read_policy(Table *table, PyObject *policy)
{
    if (!PyUnicode_Check(policy)) {
        PyErr_Format(PyExc_TypeError, "policy %R is not a str", policy);
        return -1;
    }
    if (PyUnicode_CompareWithASCIIString(policy, "gdsf") == 0) {
        table->policy = POLICY_GDSF;
        return 0;
    }
    if (PyUnicode_CompareWithASCIIString(policy, "s3fifo") == 0) {
        table->policy = POLICY_S3FIFO;
        return 0;
    }
    if (PyUnicode_CompareWithASCIIString(policy, "lru") == 0) {
        table->policy = POLICY_LRU;
        return 0;
    }
    return set_config_error("this policy is not known: use gdsf, s3fifo or lru");
}

static int
table_init(Table *table, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"max_bytes", "max_entries", "ttl", "idle", "policy", "size",
                            "listens",   "registry",    "now", "entry_bytes", NULL};
    PyObject *max_bytes = NULL, *max_entries = NULL, *ttl = NULL, *idle = NULL, *policy = NULL;
    PyObject *size = NULL, *registry = NULL, *now = NULL, *entry_bytes = Py_None;
    int listens = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|$OOOOOOpOOO", words, &max_bytes,
                                     &max_entries, &ttl, &idle, &policy, &size, &listens,
                                     &registry, &now, &entry_bytes)) {
        return -1;
    }
    if (max_bytes == NULL || max_entries == NULL || ttl == NULL || idle == NULL || policy == NULL
        || size == NULL || registry == NULL || now == NULL) {
        PyErr_SetString(PyExc_TypeError, "a table needs max_bytes, max_entries, ttl, idle, policy, "
                                         "size, listens, registry and now");
        return -1;
    }
    if (table->is_ready) {
        return set_config_error("this table was made already: make a new one");
    }
    double seconds = read_seconds(ttl), idle_seconds = read_seconds(idle);
    int64_t bytes = read_bound(max_bytes), entries = read_bound(max_entries);
    int64_t own = entry_bytes == Py_None ? ENTRY_BYTES : read_bound(entry_bytes);
    if (PyErr_Occurred() || read_policy(table, policy) < 0) {
        return -1;
    }
    table->ttl = seconds;
    table->idle_ticks = idle_seconds < MOST_IDLE ? (int64_t)ceil(idle_seconds * 64) : 0;
    table->max_bytes = bytes;
    table->max_entries = entries;
    table->entry_bytes = own;
    table->listens = (uint8_t)listens;
    Py_XSETREF(table->registry, Py_NewRef(registry));
    Py_XSETREF(table->size, size == Py_None ? NULL : Py_NewRef(size));
    Py_XSETREF(table->now, now == Py_None ? NULL : Py_NewRef(now));
    double epoch;
    if (table_now(table, &epoch) < 0) {
        return -1;
    }
    if (table->size == NULL) {
        /* What the first weighing will ask: now, since a finalizer that ran within a set's import
           and weighed something itself would find it half done. */
        PyObject *kinds = PyImport_ImportModule("membudget.sizing.kinds");
        if (kinds == NULL) {
            return -1;
        }
        Py_DECREF(kinds);
    }
    table->epoch = epoch;
    if (table->shares == NULL) {
        table->shares = shares_new(); /* NULL: of others nothing is known. */
    }
    table->is_ready = 1;
    return 0;
}

static int
table_traverse(Table *table, visitproc visit, void *arg)
{
    Py_VISIT(table->registry);
    Py_VISIT(table->size);
    Py_VISIT(table->now);
    const Entries *entries = &table->contents.entries;
    for (uint32_t number = 0; number < entries->count; number++) {
        const Entry *block = entries->blocks[number];
        for (uint32_t at = 0; at < entries->chunks[number].top; at++) {
            if (block[at].flags & COLLECTED) {
                Py_VISIT(block[at].key);
                Py_VISIT(block[at].value);
            }
        }
    }
    return 0;
}

static int
table_tp_clear(Table *table)
{
    table_clear_contents(table, 1);
    Py_CLEAR(table->size);
    Py_CLEAR(table->now);
    Py_CLEAR(table->registry);
    return 0;
}

static void
table_dealloc(Table *table)
{
    PyObject_GC_UnTrack(table);
    Py_TRASHCAN_BEGIN(table, table_dealloc)
    PyObject *type, *error, *trace; /* See drop. */
    PyErr_Fetch(&type, &error, &trace);
    /* In place: tables within tables go deep, and each level takes from the stack. Nobody can reach it
       any more, so others may run, as they may in a finalizer. */
    contents_free(&table->contents, 1);
    plan_free(table->plan);
    shares_free(table->shares);
    recent_free(table->recent);
    Py_XDECREF(table->size);
    Py_XDECREF(table->now);
    Py_XDECREF(table->registry);
    Py_TYPE(table)->tp_free((PyObject *)table);
    PyErr_Restore(type, error, trace);
    Py_TRASHCAN_END
}

static Py_ssize_t
table_length(Table *table)
{
    return (Py_ssize_t)entry_count(&table->contents);
}

static PyObject *
table_held_bytes(Table *table, PyObject *nothing)
{
    (void)nothing;
    return PyLong_FromUnsignedLongLong(held_bytes(&table->contents));
}

/* Does nothing: a subclass tells whoever listens, and asks the budget. */
static PyObject *
table_ignore(Table *table, PyObject *argument)
{
    (void)table;
    (void)argument;
    Py_RETURN_NONE;
}

static PyObject *
table_soonest(Table *table, PyObject *nothing)
{
    (void)nothing;
    double soonest;
    LOCKED(table, soonest = wheel_soonest(table));
    return soonest == Py_HUGE_VAL ? Py_NewRef(Py_None) : PyFloat_FromDouble(soonest);
}

static PyObject *
table_set_bounds(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_set_bounds takes max_bytes and max_entries");
        return NULL;
    }
    int64_t bytes = read_bound(arguments[0]), entries = read_bound(arguments[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    LOCKED(table, {
        table->max_bytes = bytes;
        table->max_entries = entries;
        table->kept_entries = 0;
    });
    Py_RETURN_NONE;
}

/* When the eldest of the queues' oldest entries was set, two years ago at most; None where there is
   none. */
static PyObject *
oldest_born(const Table *table, int64_t now)
{
    const Contents *contents = &table->contents;
    int64_t oldest = INT64_MAX;
    for (unsigned number = 0; number < QUEUES; number++) {
        const Queue *queue = queue_at(contents, number);
        Id id = queue != NULL ? queue->oldest : NONE;
        if (id != NONE) {
            int64_t born = now - (uint32_t)((uint32_t)now - entry_at(contents, id)->used);
            oldest = born < oldest ? born : oldest;
        }
    }
    return oldest == INT64_MAX ? Py_NewRef(Py_None)
                               : PyFloat_FromDouble(table->epoch + (double)oldest / 64);
}

static PyObject *
counts(Table *table)
{
    double now;
    if (table_now(table, &now) < 0) {
        return NULL;
    }
    const Contents *contents = &table->contents;
    uint32_t entries = entry_count(contents);
    uint64_t held = held_bytes(contents), known = ghost_known(&contents->ghost, entries);
    uint64_t average = entries ? held / entries : 0, rest = entries ? held % entries : 0;
    return Py_BuildValue(
        "{sI sK sK sK sK sK s{sK sK sK sK} sK sK sK sK sK sN}", "entries", entries, "bytes",
        (unsigned long long)held, "hits", (unsigned long long)table->hits, "misses",
        (unsigned long long)table->misses, "sets", (unsigned long long)table->sets, "refused",
        (unsigned long long)table->refused, "evictions", "bytes",
        (unsigned long long)table->evictions[CAUSE_BYTES], "entries",
        (unsigned long long)table->evictions[CAUSE_ENTRIES], "pressure",
        (unsigned long long)table->evictions[CAUSE_PRESSURE], "share",
        (unsigned long long)table->evictions[CAUSE_SHARE], "bytes_evicted",
        (unsigned long long)table->bytes_evicted, "expirations",
        (unsigned long long)table->expirations, "forgotten_hits",
        (unsigned long long)table->forgotten_hits, "ghost_hits",
        (unsigned long long)table->ghost_hits, "ghost_bytes",
        /* known * held / entries, within 64 bits */
        (unsigned long long)(entries ? known * average + known * rest / entries : 0),
        "oldest_born", oldest_born(table, tick_of(table, now)));
}

static PyObject *
table_counts(Table *table, PyObject *nothing)
{
    (void)nothing;
    PyObject *figures;
    LOCKED(table, figures = counts(table));
    return figures;
}

static PyObject *
get_max_bytes(Table *table, void *nothing)
{
    (void)nothing;
    return show_bound(table->max_bytes);
}

static PyObject *
get_max_entries(Table *table, void *nothing)
{
    (void)nothing;
    return show_bound(table->max_entries);
}

static PyObject *
get_share(Table *table, void *nothing)
{
    (void)nothing;
    return show_bound(table->share);
}

static int
set_share(Table *table, PyObject *share, void *nothing)
{
    (void)nothing;
    int64_t bytes = read_bound(share);
    if (PyErr_Occurred()) {
        return -1;
    }
    table->share = bytes;
    return 0;
}

static PyObject *
get_is_behind(Table *table, void *nothing)
{
    (void)nothing;
    return PyBool_FromLong(table->is_behind);
}

static PyGetSetDef attributes[] = {
    {"max_bytes", (getter)get_max_bytes, NULL, "The bound in bytes, or None.", NULL},
    {"max_entries", (getter)get_max_entries, NULL, "The bound in entries, or None.", NULL},
    {"share", (getter)get_share, (setter)set_share, "Bytes, or None: a bound the budget sets.",
     NULL},
    {"_is_behind", (getter)get_is_behind, NULL,
     "Whether there may be more to sweep although the last step found none.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"hits", T_ULONGLONG, offsetof(Table, hits), READONLY, "Lookups that found a value."},
    {"ghost_hits", T_ULONGLONG, offsetof(Table, ghost_hits), READONLY,
     "Values taken in whose keys had been evicted shortly before."},
    {"ghost_added", T_ULONGLONG, offsetof(Table, contents.ghost.added), READONLY, "Evictions."},
    {"ghost_ages", T_ULONGLONG, offsetof(Table, contents.ghost.ages), READONLY, "See the Ghost."},
    {"misses", T_ULONGLONG, offsetof(Table, misses), READONLY, "Lookups that found none."},
    {"forgotten_hits", T_ULONGLONG, offsetof(Table, forgotten_hits), READONLY,
     "Hits of long ago, which do not count any more."},
    {"claim_quantum", T_LONGLONG, offsetof(Table, claim_quantum), 0, "Bytes between two claims."},
    {"free_entries", T_LONGLONG, offsetof(Table, free_entries), 0, "Kept without any bound; or -1."},
    {"_loose", T_UINT, offsetof(Table, contents.loose), READONLY,
     "Entries that may weigh something else by now."},
    {NULL, 0, 0, 0, NULL},
};

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL
#define FAST_NAMED(function)                                                                       \
    (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define PLAIN(function, flags) (PyCFunction)(void (*)(void))(function), flags

static PyMethodDef methods[] = {
    {"get", FAST_NAMED(table_get),
     "get(key, default=None): the value under a key, which counts as used; else the default."},
    {"peek", FAST_NAMED(table_peek),
     "peek(key, default=None): the value under a key, else the default; changes nothing."},
    {"set", FAST_NAMED(table_set),
     "set(key, value, *, ttl=None, size=None): keep a value; False where it is too large."},
    {"pop", FAST_NAMED(table_pop),
     "pop(key[, default]): take a value out and return it; no lookup in the statistics."},
    {"delete", PLAIN(table_delete, METH_O), "delete(key): forget a key; whether one was there."},
    {"get_many", PLAIN(table_get_many, METH_O), "get_many(keys): a dict of those found."},
    {"set_many", FAST_NAMED(table_set_many),
     "set_many(pairs, *, ttl=None): keep many; how many were taken in."},
    {"ttl_left", PLAIN(table_ttl_left, METH_O),
     "ttl_left(key): seconds until a value expires if it is not used, None for never."},
    {"keys", PLAIN(table_keys, METH_NOARGS), "The keys now, the small queue's first, oldest first."},
    {"values", PLAIN(table_values, METH_NOARGS), "The values now, in the order of the keys."},
    {"items", PLAIN(table_items, METH_NOARGS), "Keys and values now, in the order of the keys."},
    {"_some_values", FAST(table_some_values),
     "_some_values(start, n): values of so many places, expired ones too, and where to go on."},
    {"_setdefault", FAST(table_setdefault), "The value under a key; else this one, put there."},
    {"_popitem", PLAIN(table_popitem, METH_O), "_popitem(newest): take out an end; or None."},
    {"_move_to_end", FAST(table_move_to_end), "_move_to_end(key, newest): whether it is there."},
    {"clear", PLAIN(table_clear, METH_NOARGS), "Forget all entries at once, then free them."},
    {"held_bytes", PLAIN(table_held_bytes, METH_NOARGS), "The bytes all entries weigh."},
    {"_evict", FAST(table_evict), "_evict(target, cause): let go of a batch, up to so many bytes."},
    {"_enforce", PLAIN(table_enforce, METH_NOARGS), "Let go of a batch of what is too much."},
    {"_sweep", PLAIN(table_sweep, METH_NOARGS), "Let go of a batch of what has expired."},
    {"_fold", PLAIN(table_fold, METH_NOARGS), "Give some table memory back; whether there is more."},
    {"_reweigh", PLAIN(table_reweigh, METH_NOARGS),
     "Weigh some entries again; by how many bytes they changed."},
    {"_soonest", PLAIN(table_soonest, METH_NOARGS),
     "A time before which nothing expires; None for never."},
    {"_counts", PLAIN(table_counts, METH_NOARGS), "All figures at one moment."},
    {"_plan_arenas", FAST(table_plan_arenas),
     "_plan_arenas(start, n): see where values lie; where to go on, None at the end."},
    {"_choose_arenas", FAST(table_choose_arenas),
     "_choose_arenas(target, *tables): choose arenas to empty, of so many bytes; what they hold."},
    {"_evict_arenas", PLAIN(table_evict_arenas, METH_O),
     "_evict_arenas(most): let go of a batch of what is chosen, up to so many bytes."},
    {"_set_bounds", FAST(table_set_bounds), "_set_bounds(max_bytes, max_entries): change them."},
    {"_told", PLAIN(table_ignore, METH_O), "For a subclass: what was let go."},
    {"_refuses", PLAIN(table_ignore, METH_O), "For a subclass: bytes without room?"},
    {"_claim", PLAIN(table_ignore, METH_O), "For a subclass: bytes taken in."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For annotations."},
    {NULL, NULL, 0, NULL},
};

static PyMappingMethods as_mapping = {
    .mp_length = (lenfunc)table_length,
    .mp_subscript = (binaryfunc)table_subscript,
    .mp_ass_subscript = (objobjargproc)table_ass_subscript,
};

static PySequenceMethods as_sequence = {
    .sq_length = (lenfunc)table_length,
    .sq_contains = (objobjproc)table_contains,
};

PyTypeObject Table_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "membudget._native._core.Table",
    .tp_doc = "A bounded mapping that knows its bytes and forgets what has expired.",
    .tp_basicsize = sizeof(Table),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = table_new,
    .tp_init = (initproc)table_init,
    .tp_dealloc = (destructor)table_dealloc,
    .tp_traverse = (traverseproc)table_traverse,
    .tp_clear = (inquiry)table_tp_clear,
    .tp_iter = (getiterfunc)table_iter,
    .tp_as_mapping = &as_mapping,
    .tp_as_sequence = &as_sequence,
    .tp_methods = methods,
    .tp_getset = attributes,
    .tp_members = members,
};

int
table_add(PyObject *module)
{
    if (names_start() < 0 || PyType_Ready(&Table_Type) < 0) {
        return -1;
    }
    PyObject *own = PyLong_FromLong(ENTRY_BYTES);
    if (own == NULL || PyDict_SetItemString(Table_Type.tp_dict, "ENTRY_BYTES", own) < 0) {
        Py_XDECREF(own);
        return -1;
    }
    Py_DECREF(own);
    PyType_Modified(&Table_Type);
    return PyModule_AddObjectRef(module, "Table", (PyObject *)&Table_Type);
}
