/* Weighing entries again.

   At `set` the caller's own variables still hold parts of a value, which then seem to be somebody
   else's and are charged little; and lists grow after they were put in. So a set of a value that may
   change weighs again the one set sixteen such sets earlier, when its makers have let go of it. Where
   that hardly ever changes anything it is done for each eighth only. One a part of which somebody
   still held then gets another try, hundreds of sets later: its makers may make several entries of
   one part. A hand that goes around all entries finds what changed later. */

#include "table.h"

#define RECENT 16
#define JUDGED 64    /* weighings after which it is decided how many are needed */
#define SELDOM 8
#define AT_A_TIME 16 /* entries weighed in one step */
#define LOOKED_AT 512 /* entries passed by in one step, at most */

#define LATER 512

typedef struct {
    PyObject *key, *value; /* to recognise the entry by; not owned, never followed */
    Id id;
} Noted;

struct Recent {
    Noted items[RECENT];
    Noted *later; /* LATER of them, made when one is needed */
    uint16_t later_at;
    uint8_t at, seen, changed, every, skipped;
};

void
recent_free(Recent *recent)
{
    if (recent != NULL) {
        PyMem_RawFree(recent->later);
        PyMem_RawFree(recent);
    }
}

Py_ssize_t
weigh_entry(Table *table, PyObject *key, PyObject *value, int *traits)
{
    table->weighing++;
    Py_ssize_t bytes = sizer_entry(table->shares, key, value, traits);
    table->weighing--;
    return bytes;
}

/* Weighs an entry again that holds this key and this value; 1 and by how many bytes it changed, 0
   where it is gone, -1 with an exception. */
static int
weigh_again(Table *table, Id id, int64_t *change, int *traits)
{
    Entry *entry = entry_at(&table->contents, id);
    PyObject *key = Py_NewRef(entry->key), *value = Py_NewRef(entry->value);
    int done = 0;
    Py_ssize_t bytes = weigh_entry(table, key, value, traits);
    if (bytes < 0) {
        done = -1;
    }
    else if (entries_has(&table->contents, id)
             && (entry = entry_at(&table->contents, id))->key == key && entry->value == value
             && (entry->flags & LOOSE)) {
        int64_t now = bytes < HEAVIEST ? bytes + table->entry_bytes : HEAVIEST;
        *change = (now < HEAVIEST ? now : HEAVIEST) - entry->weight;
        entry->weight += *change;
        policy_reweighed(table, id, entry, entry->weight - *change);
        done = 1;
    }
    else {
        sizer_gone(table->shares, key, value);
    }
    drop(key);
    drop(value);
    return done;
}

/* The same for one noted earlier, if it is still what it was; what the program's own code raised is
   passed over: the weight was right once. */
static int
weigh_noted(Table *table, Noted noted, int64_t *before, int64_t *change, int *traits)
{
    if (noted.key == NULL || !entries_has(&table->contents, noted.id)) {
        return 0;
    }
    const Entry *entry = entry_at(&table->contents, noted.id);
    if (entry->key != noted.key || entry->value != noted.value || !(entry->flags & LOOSE)) {
        return 0;
    }
    *before = entry->weight;
    int done = weigh_again(table, noted.id, change, traits);
    if (done < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        done = 0;
    }
    return done;
}

static int
has_changed(int64_t change, int64_t before)
{
    return (change < 0 ? -change : change) >= before / 100;
}

/* It pays to weigh each one again. */
static void
note_change(Recent *recent)
{
    recent->changed = 1;
    recent->every = 1;
}

/* Notes an entry a part of which somebody still held: it gets another try, hundreds of sets later, in
   the place of one noted so long ago. */
static int
try_later(Table *table, Noted noted)
{
    Recent *recent = table->recent;
    if (recent->later == NULL) {
        recent->later = PyMem_RawCalloc(LATER, sizeof(Noted));
        if (recent->later == NULL) {
            return 0; /* The hand comes by. */
        }
    }
    recent->later_at = (uint16_t)(recent->later_at % (LATER / recent->every));
    Noted due = recent->later[recent->later_at];
    recent->later[recent->later_at] = noted;
    /* Of each eighth set so many fewer are noted: the time until another try is the same. */
    recent->later_at = (uint16_t)((recent->later_at + 1) % (LATER / recent->every));
    int64_t before = 0, change = 0;
    int traits, done = weigh_noted(table, due, &before, &change, &traits);
    if (done > 0 && has_changed(change, before)) {
        note_change(table->recent); /* Their makers held them for longer, but not for good. */
    }
    return done < 0 ? -1 : 0;
}

int
recent_weigh(Table *table)
{
    Recent *recent = table->recent;
    if (recent == NULL) {
        return 0;
    }
    Noted noted = recent->items[recent->at];
    if (noted.key == NULL || ++recent->skipped < recent->every) {
        return 0;
    }
    recent->skipped = 0;
    recent->items[recent->at].key = NULL;
    int64_t before = 0, change = 0;
    int traits = 0, done = weigh_noted(table, noted, &before, &change, &traits);
    if (done <= 0 || (recent = table->recent) == NULL) {
        return done < 0 ? -1 : 0;
    }
    if (has_changed(change, before)) {
        note_change(recent);
    }
    if (++recent->seen >= JUDGED) {
        recent->every = recent->changed ? 1 : SELDOM;
        recent->seen = recent->changed = 0;
    }
    return traits & WITHHELD ? try_later(table, noted) : 0;
}

void
recent_note(Table *table, Id id)
{
    Recent *recent = table->recent;
    if (recent == NULL) {
        recent = table->recent = PyMem_RawCalloc(1, sizeof(Recent));
        if (recent == NULL) {
            return; /* The hand comes by. */
        }
        recent->every = 1;
    }
    const Entry *entry = entry_at(&table->contents, id);
    recent->items[recent->at].key = entry->key;
    recent->items[recent->at].value = entry->value;
    recent->items[recent->at].id = id;
    recent->at = (recent->at + 1) % RECENT;
}

static int
reweigh(Table *table, int64_t *total)
{
    *total = 0;
    int weighed = 0;
    uint32_t least = table->contents.loose; /* Of a few, none twice. */
    Slice slice;
    slice_begin(&slice);
    for (int looked = 0; weighed < AT_A_TIME && looked < LOOKED_AT; looked++) {
        Contents *contents = &table->contents;
        if (contents->loose == 0 || (uint32_t)weighed >= least) {
            break;
        }
        Id id = contents->hand;
        if ((id & (CHUNK_ENTRIES - 1)) >= CHUNK_ENTRIES - 1
            || id >= entries_end(contents)) {
            contents->hand = ((id >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT;
        }
        else {
            contents->hand++;
        }
        if (contents->hand >= entries_end(contents)) {
            contents->hand = 0;
        }
        if (!entries_has(contents, id) || !(entry_at(contents, id)->flags & LOOSE)) {
            continue;
        }
        int64_t change = 0;
        int traits;
        weighed++;
        if (weigh_again(table, id, &change, &traits) < 0) {
            if (!PyErr_ExceptionMatches(PyExc_Exception)) {
                return -1;
            }
            PyErr_Clear();
        }
        *total += change;
        slice_check(&slice);
    }
    return 0;
}

PyObject *
table_reweigh(Table *table, PyObject *nothing)
{
    (void)nothing;
    int64_t total;
    int failed;
    LOCKED(table, failed = reweigh(table, &total));
    return failed < 0 ? NULL : PyLong_FromLongLong(total);
}
