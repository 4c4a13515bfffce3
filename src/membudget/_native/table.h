/* The compiled table: what its files share.

   Theory. An entry is one cache line. Entries lie in chunks and go by a number, so that links between
   them take four bytes each and an index can be rebuilt without touching one. Four structures link
   them: the index finds an entry by key, the queues order them for eviction, the wheel by when they
   expire, and chunks keep free entries in lists. Beside them the ghost remembers what was evicted.

   table_system.c    memory from the system, clocks, letting other threads run
   table_entries.c   the chunks
   table_index.c     from tag to entry
   table_ghost.c     tags of what was evicted
   table_wheel.c     the times
   table_policy.c    the queues, and which entry goes next
   table_gdsf.c      the same where the order is by worth
   table_find.c      from key to entry, through the program's __eq__
   table_let_go.c    taking entries out, in batches, and the steps
   table_arguments.c times and sizes as a set is given them
   table_set.c       taking a value in
   table_reweigh.c   weighing entries again
   table_fold.c      giving memory of the table itself back
   table_arenas.c    which entries to evict so that whole arenas become free
   table_read.c      get, pop and the other methods of a mapping
   table_order.c     what a mapping with an order has besides
   table_type.c      construction, attributes, the garbage collector, the list of methods

   The law: no code of the program runs while the structure is open, that is between the first and
   the last write of a change. `__hash__`, `__eq__`, a clock or a sizer written in Python, finalizers and
   listeners all run before or after, and what was found before they ran is looked at again.

   Under the GIL that law makes every method atomic where it matters, and there is no lock. On a
   free-threaded build each method runs in the critical section of its table (LOCKED below), which
   the interpreter suspends wherever the GIL would be released. The module does not declare that it
   needs no GIL: such a build switches it on until the table is proven there. */

#ifndef MEMBUDGET_TABLE_H
#define MEMBUDGET_TABLE_H

#include "sizer.h"
#include "table_index.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef Py_GIL_DISABLED
#define OPEN_SECTION(table) Py_BEGIN_CRITICAL_SECTION(table)
#define CLOSE_SECTION() Py_END_CRITICAL_SECTION()
#else
#define OPEN_SECTION(table) {
#define CLOSE_SECTION() }
#endif

/* Runs `statement` as one method of the table: see above. */
#define LOCKED(table, statement)                                                                   \
    do {                                                                                           \
        OPEN_SECTION(table);                                                                       \
        statement;                                                                                 \
        CLOSE_SECTION();                                                                           \
    } while (0)

#if defined(__GNUC__) || defined(__clang__)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define LIKELY(condition) (condition)
#define UNLIKELY(condition) (condition)
#define PREFETCH(address) ((void)0)
#endif

#define NONE UINT32_MAX
/* From here on a number stands for an end of a list of the wheel. */
#define FIRST_END (UINT32_MAX - 4095)

#define CHUNK_SHIFT 14
#define CHUNK_ENTRIES (1u << CHUNK_SHIFT)

enum { SMALL = 0, MAIN = 1 };

enum {
    LOOSE = 1,    /* weighed by the sizer, and may weigh something else by now */
    NOTED = 2,    /* the sizer may know what it shares with others */
    COLLECTED = 4, /* the garbage collector may find something behind its key or value */
    PLANNED = 8   /* not set anew since the last plan of arenas */
};

typedef struct {
    PyObject *key;   /* NULL: the entry is free, and `older` is the next free one of its chunk */
    PyObject *value;
    double expires;  /* monotonic seconds; infinite for never */
    int64_t weight;  /* bytes */
    uint32_t tag;
    Id older, newer;  /* in its queue */
    Id sooner, later; /* in the wheel; `later` is NONE where it is not in it */
    uint32_t used;   /* ticks since the epoch, modulo 2^32: when set or, with `idle`, used */
    uint32_t mark;   /* in the order by worth: what it was worth when linked, on the clock */
    uint16_t queue;
    uint8_t freq;    /* hits since it came into its queue, at most 3; by worth, at most 1 */
    uint8_t flags;
} Entry;

/* A chunk's books. */
typedef struct {
    uint32_t used; /* entries in use */
    uint32_t top;  /* entries from here on were never used: their pages are not in memory */
    Id free;       /* the first free one below the top */
} Chunk;

typedef struct {
    Entry **blocks;    /* by chunk */
    Chunk *chunks;
    uint64_t *holes;   /* a bit for each chunk that has room */
    uint32_t count;    /* chunks */
    uint32_t room;     /* chunks the arrays have room for */
    uint32_t first;    /* entries that the first chunk has room for: it grows */
} Entries;

typedef struct {
    Id oldest, newest;
    uint32_t count;
    uint64_t bytes;
} Queue;

typedef struct {
    uint64_t *slots;   /* tag << 32 | number of the eviction; 0 for empty */
    size_t size;       /* a power of two, or 0 */
    uint64_t *elder;   /* the slots before the last growth, not yet moved over; or NULL */
    size_t elder_size;
    size_t elder_at;   /* the next of them to move */
    uint64_t added, ages; /* evictions; how many ago those were that came back, added up */
} Ghost;

enum { LEVELS = 4, DUE = 256, PENDING = 257, OVERFLOWING = 258, ENDS = 259 };

typedef struct {
    Id sooner, later; /* the last and the first of the list */
} End;

typedef struct {
    End *ends;         /* 4 levels of 64 slots, then the three lists; NULL until one is timed */
    uint64_t bits[LEVELS];
    int64_t tick;      /* how far it has turned */
    uint32_t count;    /* entries in it */
} Wheel;

enum { CLASSES = 41, RANKS = 8, FIRST_RANKED = 2, QUEUES = FIRST_RANKED + CLASSES * RANKS };

typedef struct {
    Queue queues[RANKS];
    uint64_t marks[RANKS]; /* of the queues' ends */
} Class;

typedef struct {
    uint64_t clock;
    uint64_t least[CLASSES];  /* of a class's marks */
    Class *classes[CLASSES];  /* NULL until one is needed */
    uint8_t lowest, highest;  /* classes in use */
    uint16_t last;            /* the queue that gave the last victim, in all likelihood the next */
} Gdsf;

/* All that `clear` detaches at once. */
typedef struct {
    Entries entries;
    Index index;
    uint32_t count;    /* entries */
    uint64_t bytes;    /* what they weigh */
    Queue queues[FIRST_RANKED]; /* SMALL and MAIN */
    Gdsf gdsf;         /* the other queues */
    Ghost ghost;
    Wheel wheel;
    Id fresh;          /* the entry last set, evicted last of all; or NONE */
    Id hand;           /* where the next weighing goes on */
    uint32_t loose;    /* entries with LOOSE */
} Contents;

enum { CAUSE_BYTES, CAUSE_ENTRIES, CAUSE_PRESSURE, CAUSE_SHARE, CAUSE_EXPIRED, CAUSES };
enum { POLICY_GDSF, POLICY_S3FIFO, POLICY_LRU };

/* Bytes let go since malloc's heap was last trimmed, and how many are to be by the next time. */
typedef struct {
    int64_t gone, apart;
    double at; /* when it was */
} Trimming;

typedef struct Recent Recent; /* table_reweigh.c */
typedef struct Plan Plan;     /* table_arenas.c */

typedef struct {
    PyObject_HEAD
    Contents contents;
    uint64_t version;  /* changes whenever what a lookup saw may have moved */
    double ttl;        /* seconds; infinite for none */
    double epoch;
    int64_t idle_ticks; /* 0 for none */
    int64_t max_bytes, max_entries, share; /* -1 for none */
    int64_t free_entries, kept_entries; /* see ask_most_entries; -1, and 0, for none */
    int64_t entry_bytes;
    int64_t claimed, claim_quantum;
    uint64_t hits, misses, sets, refused, forgotten_hits, ghost_hits;
    uint64_t evictions[CAUSE_EXPIRED], bytes_evicted, expirations;
    PyObject *size, *registry, *now; /* size, now: NULL for our own */
    Trimming trimming;
    Shares *shares;
    Recent *recent;
    Plan *plan;
    uint32_t weighing; /* calls of the sizer under way: they use the shares */
    uint8_t policy, listens, is_ready, is_behind, is_folding;
} Table;

extern PyTypeObject Table_Type;

static inline Entry *
entry_at(const Contents *contents, Id id)
{
    return &contents->entries.blocks[id >> CHUNK_SHIFT][id & (CHUNK_ENTRIES - 1)];
}

static inline uint32_t
entry_count(const Contents *contents)
{
    return contents->count;
}

static inline uint64_t
held_bytes(const Contents *contents)
{
    return contents->bytes;
}

/* table_system.c */
void *block_new(size_t bytes);             /* zeroed; NULL without an exception */
void block_free(void *block, size_t bytes);
void block_forget(void *block, size_t bytes); /* its pages may go; they read as zero or as before */
double clock_precise(void);
double clock_coarse(void);                 /* at most COARSE seconds behind */
#define COARSE 0.02
/* Lets them run where that is due; call it only while the structure is closed. */
typedef struct {
    double since;
} Slice;
void slice_begin(Slice *slice);
void slice_check(Slice *slice);

/* table_entries.c */
int entries_grow(Contents *contents);
/* Room for one more; -1 without an exception. */
static inline int
entries_reserve(Contents *contents)
{
    const Entries *entries = &contents->entries;
    return LIKELY(entries->count != 0 && entries->holes[0] != 0) ? 0 : entries_grow(contents);
}
Id entries_take(Contents *contents);       /* after entries_reserve */
void entries_give(Contents *contents, Id id);
Id entries_end(const Contents *contents);  /* all numbers are below */
int entries_has(const Contents *contents, Id id); /* whether that is the number of one in use */
void entries_drop_chunk(Contents *contents);      /* the last one, which is empty */
int entries_shrink_first(Contents *contents, uint32_t room, void (*move)(void *, Id, Id),
                         void *arg);
void entries_free(Entries *entries);

/* table_index.c */
void index_start(Index *index);
int index_grow(Table *table);              /* -1 without an exception */
/* Room for one more; -1 without an exception. */
static inline int
index_reserve(Table *table)
{
    const Index *index = &table->contents.index;
    size_t count = (size_t)entry_count(&table->contents) + 1;
    return LIKELY(index->old == NULL && count * 2 <= (index->mask + 1) * INDEX_LOAD && count > 1)
               ? 0
               : index_grow(table);
}
void index_insert(Index *index, uint32_t tag, Id id);
void index_remove(Index *index, uint32_t tag, Id id);
void index_rename(Index *index, uint32_t tag, Id from, Id to);
int index_move(Table *table, size_t buckets); /* goes on moving; whether more is left */
int index_shrink(Table *table);            /* begins to where that pays; whether it did */
void index_free(Index *index);

/* table_ghost.c */
void ghost_add(Ghost *ghost, uint32_t tag, uint32_t entries);
int ghost_take(Ghost *ghost, uint32_t tag, uint32_t entries);
int ghost_fold(Ghost *ghost, uint32_t entries); /* whether there was something to do */
uint64_t ghost_known(const Ghost *ghost, uint32_t entries);
void ghost_free(Ghost *ghost);

/* table_wheel.c */
#define FURTHEST 0x1p60 /* ticks; sums and differences of two stay within 64 bits */
static inline int64_t
tick_of(const Table *table, double when)
{
    double ticks = (when - table->epoch) * 64;
    if (UNLIKELY(!(ticks > -FURTHEST && ticks < FURTHEST))) { /* A clock may say anything. */
        return (int64_t)(ticks > 0 ? FURTHEST : -FURTHEST);
    }
    int64_t whole = (int64_t)ticks;
    return whole - (ticks < (double)whole); /* Rounded down; floor() is a call. */
}
int wheel_reserve(Wheel *wheel);           /* -1 without an exception */
void wheel_add(Table *table, Id id, double now);
void wheel_unlink(Contents *contents, Entry *entry);
static inline void
wheel_remove(Contents *contents, Entry *entry)
{
    if (entry->later != NONE) {
        wheel_unlink(contents, entry);
    }
}
void wheel_rename(Contents *contents, const Entry *entry, Id to);
Id wheel_search(Table *table, double now);
/* An entry that has expired, still in its place; NONE where none is known to have. */
static inline Id
wheel_next_due(Table *table, double now)
{
    table->is_behind = 0;
    return table->contents.wheel.count != 0 ? wheel_search(table, now) : NONE;
}
double wheel_soonest(const Table *table);  /* infinite for never */
double wheel_ends(const Table *table, const Entry *entry, double now);
int has_idled(const Table *table, const Entry *entry, double now);
static inline int
has_ended(const Table *table, const Entry *entry, double now)
{
    return entry->expires <= now || (table->idle_ticks != 0 && has_idled(table, entry, now));
}
static inline int
is_timed(const Table *table, const Entry *entry)
{
    return entry->expires != Py_HUGE_VAL || table->idle_ticks != 0;
}

/* table_policy.c */
void policy_prefetch(const Table *table, uint32_t tag); /* what a set of such a key will touch */
void policy_insert(Table *table, Id id);   /* a new entry, not yet in a queue */
void policy_hit(Table *table, Id id, Entry *entry);
void policy_leave(Table *table, Id id, Entry *entry, int is_evicted);
Id policy_victim(Table *table);            /* NONE where there is none */
int policy_reserve(Table *table, int64_t weight); /* -1 without an exception */
void policy_reweighed(Table *table, Id id, Entry *entry, int64_t before);
void policy_note_fresh(Table *table, Id id); /* the entry last set is now this one, or NONE */
void policy_start(Contents *contents);
Queue *queue_at(const Contents *contents, unsigned number); /* NULL where it was never needed */
void queue_link(Contents *contents, Id id, Entry *entry, unsigned number);
void queue_unlink(Contents *contents, Entry *entry);
void queue_rename(Contents *contents, const Entry *entry, Id to);

/* table_gdsf.c */
void gdsf_start(Gdsf *gdsf);
void gdsf_free(Gdsf *gdsf);
Id gdsf_next(const Contents *contents);
int gdsf_reserve(Table *table, int64_t weight);
void gdsf_insert(Table *table, Id id, int is_known);
void gdsf_leave(Contents *contents, Entry *entry);
void gdsf_reweighed(Table *table, Id id, Entry *entry);
void gdsf_note_fresh(Contents *contents, Id before, Id now);
Id gdsf_victim(Table *table);

/* table_find.c */
/* The tag of a key, 0 with an exception where it has no hash. */
uint32_t key_tag(PyObject *key);
/* 1 and the entry's number, 0, or -1 with an exception. Runs `__eq__`: nothing found before holds. */
int table_find(Table *table, PyObject *key, uint32_t tag, Id *id);

/* table_let_go.c */
#define BATCH 64
#define BATCH_BYTES (1 << 20)
#define DEFAULT_ENTRIES 1000
#define HEAVIEST ((int64_t)1 << 55) /* What an entry counts at most where no bound in bytes is over it. */

typedef struct {
    PyObject *key, *value; /* owned */
    int64_t weight;
    int cause;
} Gone;

typedef struct {
    Gone items[BATCH];
    int count;
} Batch;

/* Why a batch goes on. */
typedef struct {
    enum { UNTIL_FREED, UNTIL_WITHIN, UNTIL_SWEPT } rule;
    int64_t target;        /* bytes, for UNTIL_FREED */
    int cause;
    int64_t most_entries;  /* the bound in entries that holds now; -1 for none */
} Reason;

extern PyObject *cause_names[CAUSES];
/* Names of methods and attributes. A name made anew for each call would be kept by the interpreter's
   cache of methods, a few hundred of them all over the arenas, which then never become free. */
extern struct Names {
    PyObject *told, *refuses, *claim, *meter, *name, *keys, *items;
} names_of;
int names_start(void);                     /* those and the causes'; -1 with an exception */
int table_check(Table *table);             /* -1 with an exception where it was never made */
int table_now(Table *table, double *now);  /* may run the program's clock */
int ask_most_entries(Table *table, int64_t *most);
/* The bound in entries that holds now, -1 for none; may ask the registry. */
static inline int
most_entries_now(Table *table, int64_t *most)
{
    *most = table->max_entries;
    return LIKELY(table->max_bytes >= 0 || table->max_entries >= 0) ? 0
                                                                    : ask_most_entries(table, most);
}
/* The cause to let one more go, or -1. */
static inline int
excess(const Table *table, int64_t most_entries)
{
    uint64_t held = held_bytes(&table->contents);
    if (table->max_bytes >= 0 && held > (uint64_t)table->max_bytes) {
        return CAUSE_BYTES;
    }
    if (most_entries >= 0 && entry_count(&table->contents) > (uint64_t)most_entries) {
        return CAUSE_ENTRIES;
    }
    return table->share >= 0 && held > (uint64_t)table->share ? CAUSE_SHARE : -1;
}
Gone entry_remove(Table *table, Id id);    /* takes it out; no figure but the sums is changed */
/* The same, counted as evicted or, where its time is over, as expired; returns its weight. */
int64_t let_go(Table *table, Id id, int cause, double now, Batch *batch);
int64_t let_go_batch(Table *table, const Reason *reason, double now, Batch *batch);
/* Drops what a batch holds; a list of what is to be told where somebody listens (NULL: nobody does,
   or with an exception). */
PyObject *batch_close(Table *table, Batch *batch);
int batch_tell(Table *table, Batch *batch); /* drops it, and tells it; -1 with an exception */
void gone_drop(Gone *gone);
int table_clear_contents(Table *table, int is_patient);
void contents_free(Contents *contents, int is_patient);
PyObject *table_evict(Table *, PyObject *const *, Py_ssize_t);
PyObject *table_enforce(Table *, PyObject *);
PyObject *table_sweep(Table *, PyObject *);
PyObject *table_clear(Table *, PyObject *);
PyObject *step_result(Table *table, int64_t freed, Batch *batch);

/* table_set.c */
/* 1 for taken in, 0 for refused, -1 with an exception. With `held` a value that stands there already
   stays, and comes back there, with 0. */
int table_put(Table *table, PyObject *key, PyObject *value, PyObject *ttl, PyObject *size,
              PyObject **held);
PyObject *table_set(Table *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *table_set_many(Table *, PyObject *const *, Py_ssize_t, PyObject *);

/* table_reweigh.c */
/* What the sizer says of an entry, which may run code; -1 with an exception. */
Py_ssize_t weigh_entry(Table *table, PyObject *key, PyObject *value, int *traits);
int recent_weigh(Table *table);            /* before a set is opened; -1 with an exception */
void recent_note(Table *table, Id id);
void recent_free(Recent *recent);
PyObject *table_reweigh(Table *, PyObject *);

/* table_trim.c */
#define LEAST_APART (4 << 20)              /* bytes let go between two times */
#define LEAVES_HOLES 4096                  /* what weighs as much may leave whole pages free */
void trim_paced(Table *table);             /* lets others run; call it with nothing locked */

/* table_fold.c */
PyObject *table_fold(Table *, PyObject *);

/* table_arenas.c */
void plan_free(Plan *plan);
PyObject *table_plan_arenas(Table *, PyObject *const *, Py_ssize_t);
PyObject *table_choose_arenas(Table *, PyObject *const *, Py_ssize_t);
PyObject *table_evict_arenas(Table *, PyObject *);

/* table_read.c */
PyObject *table_get(Table *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *table_peek(Table *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *table_pop(Table *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *table_delete(Table *, PyObject *);
PyObject *table_get_many(Table *, PyObject *);
PyObject *table_ttl_left(Table *, PyObject *);
PyObject *table_keys(Table *, PyObject *);
PyObject *table_values(Table *, PyObject *);
PyObject *table_items(Table *, PyObject *);
PyObject *table_some_values(Table *, PyObject *const *, Py_ssize_t);
PyObject *table_iter(Table *);
int table_contains(Table *, PyObject *);
PyObject *table_subscript(Table *, PyObject *);
int table_ass_subscript(Table *, PyObject *, PyObject *);

/* table_order.c */
PyObject *table_setdefault(Table *, PyObject *const *, Py_ssize_t);
PyObject *table_popitem(Table *, PyObject *);
PyObject *table_move_to_end(Table *, PyObject *const *, Py_ssize_t);

/* table_type.c */
int table_add(PyObject *module);

#endif
