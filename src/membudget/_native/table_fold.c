/* Giving back memory of the table itself, where most of it is empty, in steps below a millisecond.

   Entries of the last chunk are moved into holes of lower ones, until it is empty and goes back to
   the system; whoever knows an entry by its number is told the new one. The index is exchanged for a
   smaller one, as it is for a larger one, and the ghost for one that fits. */

#include "table.h"

#define MOVED_AT_A_STEP 512
#define BUCKETS_AT_A_STEP ((size_t)1 << 12)

static void
move_entry(void *argument, Id from, Id to)
{
    Table *table = argument;
    Contents *contents = &table->contents;
    Entry *entry = entry_at(contents, to);
    table->version++;
    *entry = *entry_at(contents, from);
    index_rename(&contents->index, entry->tag, from, to);
    queue_rename(contents, entry, to);
    wheel_rename(contents, entry, to);
    if (contents->fresh == from) {
        contents->fresh = to;
    }
}

/* Moves some entries out of the last chunk; returns whether there is more to move. */
static int
empty_last_chunk(Table *table)
{
    Contents *contents = &table->contents;
    Entries *entries = &contents->entries;
    uint32_t last = entries->count - 1;
    Id first = last << CHUNK_SHIFT;
    int moved = 0;
    for (Id id = first + entries->chunks[last].top; id-- > first;) {
        if (entries->chunks[last].used == 0) {
            break;
        }
        if (entry_at(contents, id)->key == NULL) {
            continue;
        }
        if (moved++ == MOVED_AT_A_STEP) {
            return 1;
        }
        Id to = entries_take(contents);
        if (to >= first) { /* No hole but here. */
            entries_give(contents, to);
            return 0;
        }
        move_entry(table, id, to);
        entries_give(contents, id);
    }
    entries_drop_chunk(contents);
    return 1;
}

static int
fold_entries(Table *table)
{
    Contents *contents = &table->contents;
    Entries *entries = &contents->entries;
    uint32_t count = entry_count(contents);
    if (entries->count > 1) {
        uint32_t needed = (count + CHUNK_ENTRIES - 1) >> CHUNK_SHIFT;
        uint64_t room = (uint64_t)entries->count << CHUNK_SHIFT;
        int begins = room > 2 * (uint64_t)count + CHUNK_ENTRIES;
        if (begins || (table->is_folding && entries->count > needed + 1)) {
            table->is_folding = 1;
            plan_free(table->plan); /* It goes by the numbers. */
            table->plan = NULL;
            return empty_last_chunk(table);
        }
        table->is_folding = 0;
        return 0;
    }
    if (entries->count == 0 || entries->first < 64 || count > entries->first / 4) {
        return 0;
    }
    uint32_t room = 8;
    while (room < count) {
        room *= 2;
    }
    plan_free(table->plan);
    table->plan = NULL;
    entries_shrink_first(contents, room, move_entry, table);
    return 0;
}

static int
fold(Table *table)
{
    Contents *contents = &table->contents;
    if (ghost_fold(&contents->ghost, entry_count(contents))) {
        return 1;
    }
    if (contents->index.old != NULL) {
        index_move(table, BUCKETS_AT_A_STEP);
        return 1;
    }
    if (index_shrink(table)) {
        return 1;
    }
    return fold_entries(table);
}

PyObject *
table_fold(Table *table, PyObject *nothing)
{
    (void)nothing;
    int has_more;
    LOCKED(table, has_more = fold(table));
    return PyBool_FromLong(has_more);
}
