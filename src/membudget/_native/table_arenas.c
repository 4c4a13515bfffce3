/* Which entries to evict so that whole arenas become free.

   The allocator of small objects gives memory back to the system in whole arenas of 1 MiB, and one
   part that stays keeps an arena. What goes in order of use lies scattered, so that nothing is given
   back at all; what lies together leaves together. Hence a plan, made in steps: each entry is put down
   to the MiB in which most of its parts lie, and noted for each other one that it reaches into. Of all
   runs of neighbours that hold enough the one is chosen that serves least, by hits for a byte, and all
   entries noted there are evicted, one MiB after the other. Tables that are filled at the same time
   share arenas, so the choice is made over the plans of all of them.

   A plan goes by the entries' numbers. An entry set since then has not the flag PLANNED at its number
   and is passed by; `_fold` and `clear` drop the plan. */

#include "table.h"
#include "sizer_reach.h"
#include <stdlib.h>

/* An arena is worth emptying where entries weigh so much in it: of one that others fill, nothing would
   be given back. */
#define WORTH ((uint64_t)1 << 18)

typedef struct {
    size_t place;      /* which MiB of the address space */
    uint64_t weight;   /* of the entries put down to it, bytes */
    uint64_t score;    /* of these: hits, and one for each that has proven itself */
    uint32_t notes;    /* the first of its notes; NONE for none */
} Arena;

typedef struct {
    Id id;
    uint32_t next;
} Note;

#define NOTES ((uint32_t)1 << 13) /* in one block */
#define LARGEST_SMALL 512 /* bytes that come from an arena */

struct Plan {
    Note **notes;      /* blocks */
    uint32_t note_count;
    uint32_t note_room; /* blocks there is room for */
    Id planned_to;     /* entries from this number on came later */
    Arena *arenas;
    uint32_t *chains;  /* 1 + index of the arena, by its place; open addressing */
    size_t count, size; /* arenas; places in both arrays, a power of two */
    size_t at, end;    /* the one being emptied, and the end of those to empty; 0 until chosen */
};

static void
free_arenas(Plan *plan)
{
    block_free(plan->arenas, plan->size * sizeof(Arena));
    block_free(plan->chains, plan->size * sizeof(uint32_t));
}

void
plan_free(Plan *plan)
{
    if (plan != NULL) {
        for (uint32_t at = 0; at < plan->note_room && plan->notes[at] != NULL; at++) {
            block_free(plan->notes[at], NOTES * sizeof(Note));
        }
        block_free(plan->notes, plan->note_room * sizeof(Note *));
        free_arenas(plan);
        PyMem_RawFree(plan);
    }
}

static Plan *
plan_new(Id planned_to)
{
    Plan *plan = PyMem_RawCalloc(1, sizeof(Plan));
    if (plan == NULL) {
        return NULL;
    }
    plan->planned_to = planned_to;
    plan->note_room = planned_to / (NOTES / 4) + 16; /* At most four for an entry, on average. */
    plan->notes = block_new(plan->note_room * sizeof(Note *));
    plan->size = 256;
    plan->arenas = block_new(plan->size * sizeof(Arena));
    plan->chains = block_new(plan->size * sizeof(uint32_t));
    if (plan->notes == NULL || plan->arenas == NULL || plan->chains == NULL) {
        plan->note_room = plan->notes == NULL ? 0 : plan->note_room;
        plan_free(plan);
        return NULL;
    }
    return plan;
}

static Note *
note_at(Plan *plan, uint32_t number)
{
    return &plan->notes[number / NOTES][number % NOTES];
}

/* Notes an entry for an arena; without room it is left out. */
static void
note(Plan *plan, Arena *arena, Id id)
{
    uint32_t number = plan->note_count, block = number / NOTES;
    if (block == plan->note_room
        || (plan->notes[block] == NULL
            && (plan->notes[block] = block_new(NOTES * sizeof(Note))) == NULL)) {
        return;
    }
    plan->note_count++;
    *note_at(plan, number) = (Note){id, arena->notes};
    arena->notes = number;
}

static uint32_t *
chain_of(uint32_t *chains, size_t size, const Arena *arenas, size_t place)
{
    size_t at = (size_t)(((uint64_t)place * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
    while (chains[at] != 0 && arenas[chains[at] - 1].place != place) {
        at = (at + 1) & (size - 1);
    }
    return &chains[at];
}

static int
grow(Plan *plan)
{
    size_t size = 4 * plan->size;
    Arena *arenas = block_new(size * sizeof(Arena));
    uint32_t *chains = block_new(size * sizeof(uint32_t));
    if (arenas == NULL || chains == NULL) {
        block_free(arenas, size * sizeof(Arena));
        block_free(chains, size * sizeof(uint32_t));
        return -1;
    }
    memcpy(arenas, plan->arenas, plan->count * sizeof(Arena));
    for (size_t at = 0; at < plan->count; at++) {
        *chain_of(chains, size, arenas, arenas[at].place) = (uint32_t)at + 1;
    }
    free_arenas(plan);
    plan->arenas = arenas;
    plan->chains = chains;
    plan->size = size;
    return 0;
}

/* The arena for a place; NULL without an exception where there is no memory. */
static Arena *
arena_at(Plan *plan, size_t place)
{
    if (plan->count * 2 >= plan->size && grow(plan) < 0) {
        return NULL;
    }
    uint32_t *chain = chain_of(plan->chains, plan->size, plan->arenas, place);
    if (*chain == 0) {
        plan->arenas[plan->count] = (Arena){.place = place, .notes = NONE};
        *chain = (uint32_t)++plan->count;
    }
    return &plan->arenas[*chain - 1];
}

/* How often an entry proved itself. */
static uint64_t
score_of(const Entry *entry)
{
    unsigned rank = entry->queue >= FIRST_RANKED ? (entry->queue - FIRST_RANKED) % RANKS
                                                 : entry->queue == MAIN;
    return (uint64_t)entry->freq + rank;
}

/* Most of what is large is malloc's, which gives back whole pages: it lies where the value does, and
   that its key is among the small ones is no reason to let it go. */
static void
reach_of(const Entry *entry, Reach *reach)
{
    sizer_reach(entry->key, entry->value, reach);
    int64_t parts = 0;
    for (int at = 0; at < reach->count; at++) {
        parts += reach->parts[at];
    }
    if (parts * 2 * LARGEST_SMALL < entry->weight) {
        reach->count = 1;
        reach->places[0] = (size_t)(uintptr_t)entry->value >> 20;
    }
}

static void
plan_entry(Plan *plan, Entry *entry, Id id)
{
    Reach reach;
    reach_of(entry, &reach);
    for (int at = 0; at < reach.count; at++) {
        Arena *arena = arena_at(plan, reach.places[at]);
        if (arena == NULL) {
            continue;
        }
        if (at == 0) {
            arena->weight += (uint64_t)entry->weight;
            arena->score += score_of(entry);
        }
        note(plan, arena, id);
    }
    entry->flags |= PLANNED;
}

/* Plans the entries with the numbers from `start` on, so many numbers; returns where to go on, 0 at
   the end, -1 with an exception. */
static int64_t
plan_some(Table *table, int64_t start, int64_t count)
{
    Contents *contents = &table->contents;
    Id end = entries_end(contents);
    if (start == 0) {
        plan_free(table->plan);
        table->plan = end != 0 ? plan_new(end) : NULL;
        if (end != 0 && table->plan == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    Plan *plan = table->plan;
    if (plan == NULL || plan->end != 0) {
        return 0;
    }
    if (end > plan->planned_to) { /* What came since the beginning is not planned. */
        end = plan->planned_to;
    }
    Id stop = start + count < (int64_t)end ? (Id)(start + count) : end;
    for (Id id = (Id)start; id < stop; id++) {
        if (entries_has(contents, id)) {
            plan_entry(plan, entry_at(contents, id), id);
        }
    }
    return stop < end ? (int64_t)stop : 0;
}

static int
compare_places(const void *one, const void *other)
{
    const Arena *a = one, *b = other;
    return a->place < b->place ? -1 : a->place > b->place;
}

/* Adds a plan's arenas to those of the plans before; returns how many there are, -1 without memory. */
static int64_t
add_arenas(Arena **all, size_t count, const Plan *plan)
{
    if (plan == NULL || plan->end != 0 || plan->count == 0) {
        return (int64_t)count;
    }
    Arena *more = PyMem_RawRealloc(*all, (count + plan->count) * sizeof(Arena));
    if (more == NULL) {
        return -1;
    }
    memcpy(more + count, plan->arenas, plan->count * sizeof(Arena));
    *all = more;
    return (int64_t)(count + plan->count);
}

/* Makes one of those at the same place, and leaves out what is not worth it; returns how many stay. */
static size_t
merge(Arena *all, size_t count)
{
    qsort(all, count, sizeof(Arena), compare_places);
    size_t kept = 0;
    for (size_t at = 0; at < count;) {
        Arena sum = all[at++];
        for (; at < count && all[at].place == sum.place; at++) {
            sum.weight += all[at].weight;
            sum.score += all[at].score;
        }
        if (sum.weight >= WORTH) {
            all[kept++] = sum;
        }
    }
    return kept;
}

/* Neighbours whose entries together weigh so much, the run of them that serves least, or all where
   they weigh less: how many from which on, and what they weigh. Neighbours, since a value's parts
   often reach into the next arena: of those chosen here and there nearly none would become free. */
static int64_t
choose(const Arena *all, size_t *start, size_t *count, int64_t target)
{
    uint64_t weight = 0, score = 0, best_weight = 0;
    size_t best = 0, best_end = *count;
    double least = Py_HUGE_VAL;
    for (size_t first = 0, end = 0; end < *count;) {
        weight += all[end].weight;
        score += all[end++].score;
        while (weight - all[first].weight >= (uint64_t)target) {
            weight -= all[first].weight;
            score -= all[first++].score;
        }
        double serves = (double)score / (double)weight;
        if (weight >= (uint64_t)target && serves < least) {
            least = serves;
            best_weight = weight;
            best = first;
            best_end = end;
        }
    }
    *start = best;
    *count = best_end - best;
    return (int64_t)(least == Py_HUGE_VAL ? weight : best_weight);
}

/* Of a plan, keeps what was chosen. */
static void
keep_chosen(Plan *plan, const Arena *chosen, size_t count)
{
    if (plan == NULL || plan->end != 0) {
        return;
    }
    size_t kept = 0;
    for (size_t at = 0; at < plan->count; at++) {
        if (count != 0
            && bsearch(&plan->arenas[at], chosen, count, sizeof(Arena), compare_places) != NULL) {
            plan->arenas[kept++] = plan->arenas[at];
        }
    }
    qsort(plan->arenas, kept, sizeof(Arena), compare_places);
    plan->count = plan->end = kept;
}

/* Evicts a batch of what is chosen; returns the bytes freed. */
static int64_t
evict_some(Table *table, int64_t most, double now, Batch *batch)
{
    Contents *contents = &table->contents;
    Plan *plan = table->plan;
    int64_t freed = 0;
    while (plan != NULL && batch->count < BATCH && freed < BATCH_BYTES && freed < most) {
        while (plan->at < plan->end && plan->arenas[plan->at].notes == NONE) {
            plan->at++;
        }
        if (plan->at >= plan->end) {
            break;
        }
        Arena *arena = &plan->arenas[plan->at];
        const Note *one = note_at(plan, arena->notes);
        Id id = one->id;
        arena->notes = one->next;
        if (entries_has(contents, id) && (entry_at(contents, id)->flags & PLANNED)
            && id != contents->fresh) {
            freed += let_go(table, id, CAUSE_PRESSURE, now, batch);
        }
    }
    if (batch->count == 0) {
        plan_free(plan);
        table->plan = NULL;
    }
    return freed;
}

PyObject *
table_plan_arenas(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_plan_arenas takes where to begin and how many");
        return NULL;
    }
    int64_t start = PyLong_AsLongLong(arguments[0]), most = PyLong_AsLongLong(arguments[1]), next;
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (start < 0 || start >= NONE || most < 1 || most > NONE) {
        PyErr_SetString(PyExc_ValueError, "_plan_arenas takes a start from 0 and a count from 1");
        return NULL;
    }
    LOCKED(table, next = plan_some(table, start, most));
    if (next < 0) {
        return NULL;
    }
    return next == 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(next);
}

PyObject *
table_choose_arenas(Table *table, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "_choose_arenas takes how many bytes, and other tables");
        return NULL;
    }
    for (Py_ssize_t at = 1; at < count; at++) {
        if (!PyObject_TypeCheck(arguments[at], &Table_Type)) {
            PyErr_SetString(PyExc_TypeError, "_choose_arenas takes tables after the bytes");
            return NULL;
        }
    }
    int is_over;
    int64_t bytes = PyLong_AsLongLongAndOverflow(arguments[0], &is_over), found = 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    Arena *all = NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        Table *one = at == 0 ? table : (Table *)arguments[at];
        int64_t more;
        LOCKED(one, more = add_arenas(&all, (size_t)found, one->plan));
        if (more < 0) {
            PyMem_RawFree(all);
            return PyErr_NoMemory();
        }
        found = more;
    }
    size_t start = 0, chosen = found > 0 ? merge(all, (size_t)found) : 0;
    int64_t total = 0;
    if (is_over > 0 || bytes > 0) {
        total = choose(all, &start, &chosen, is_over > 0 ? INT64_MAX : bytes);
        for (Py_ssize_t at = 0; at < count; at++) {
            Table *one = at == 0 ? table : (Table *)arguments[at];
            LOCKED(one, keep_chosen(one->plan, all + start, chosen));
        }
    }
    PyMem_RawFree(all);
    return PyLong_FromLongLong(total);
}

PyObject *
table_evict_arenas(Table *table, PyObject *most)
{
    int is_over;
    int64_t bytes = PyLong_AsLongLongAndOverflow(most, &is_over);
    double now;
    if (PyErr_Occurred() || table_check(table) < 0 || table_now(table, &now) < 0) {
        return NULL;
    }
    PyObject *answer;
    LOCKED(table, {
        Batch batch;
        batch.count = 0;
        int64_t freed = evict_some(table, is_over > 0 ? INT64_MAX : bytes, now, &batch);
        answer = step_result(table, freed, &batch);
    });
    return answer;
}
