/* The order of eviction: the queues, and all that is decided by them.

   S3-FIFO: a new entry comes into a small queue of a tenth of the whole, where most are never asked
   for again and leave early. One hit twice there goes on to the main queue, which passes over those
   hit since they were last looked at. A key that comes back soon after it left the small queue, which
   the ghost knows, goes to the main one at once. Source: Yang et al., FIFO queues are all you need
   for cache eviction, SOSP 2023.

   LRU: the main queue alone; what is used goes to its newest end.

   By worth, which is the default: table_gdsf.c.

   In all but LRU, the entry last set goes last. Another policy would change the functions of table.h that
   begin with policy_, and nothing else. */

#include "table.h"

#define MOST_HITS 3
#define PROMOTED_AT 2
#define SMALL_PART 10

Queue *
queue_at(const Contents *contents, unsigned number)
{
    if (number < FIRST_RANKED) {
        return (Queue *)&contents->queues[number];
    }
    number -= FIRST_RANKED;
    Class *class = contents->gdsf.classes[number / RANKS];
    return class != NULL ? &class->queues[number % RANKS] : NULL;
}

/* Makes an entry the newest of a queue. */
void
queue_link(Contents *contents, Id id, Entry *entry, unsigned number)
{
    Queue *queue = queue_at(contents, number);
    entry->queue = (uint16_t)number;
    entry->newer = NONE;
    entry->older = queue->newest;
    if (queue->newest == NONE) {
        queue->oldest = id;
    }
    else {
        entry_at(contents, queue->newest)->newer = id;
    }
    queue->newest = id;
    queue->count++;
    queue->bytes += (uint64_t)entry->weight;
}

void
queue_unlink(Contents *contents, Entry *entry)
{
    Queue *queue = queue_at(contents, entry->queue);
    if (entry->older == NONE) {
        queue->oldest = entry->newer;
    }
    else {
        entry_at(contents, entry->older)->newer = entry->newer;
    }
    if (entry->newer == NONE) {
        queue->newest = entry->older;
    }
    else {
        entry_at(contents, entry->newer)->older = entry->older;
    }
    queue->count--;
    queue->bytes -= (uint64_t)entry->weight;
}

static void
move_newest(Contents *contents, Id id, Entry *entry, unsigned number)
{
    if (entry->newer == NONE && entry->queue == number) {
        return;
    }
    queue_unlink(contents, entry);
    queue_link(contents, id, entry, number);
}

void
queue_rename(Contents *contents, const Entry *entry, Id to)
{
    Queue *queue = queue_at(contents, entry->queue);
    if (entry->older == NONE) {
        queue->oldest = to;
    }
    else {
        entry_at(contents, entry->older)->newer = to;
    }
    if (entry->newer == NONE) {
        queue->newest = to;
    }
    else {
        entry_at(contents, entry->newer)->older = to;
    }
}

void
policy_start(Contents *contents)
{
    contents->queues[SMALL] = contents->queues[MAIN] = (Queue){NONE, NONE, 0, 0};
    gdsf_start(&contents->gdsf);
}

int
policy_reserve(Table *table, int64_t weight)
{
    return table->policy == POLICY_GDSF ? gdsf_reserve(table, weight) : 0;
}

void
policy_prefetch(const Table *table, uint32_t tag)
{
    const Contents *contents = &table->contents;
    const Index *index = &contents->index;
    const Ghost *ghost = &contents->ghost;
    PREFETCH(&index->buckets[tag & index->mask]);
    if (ghost->size != 0) {
        PREFETCH(&ghost->slots[tag & (ghost->size - 1)]);
    }
    Id id = table->policy == POLICY_GDSF
                ? gdsf_next(contents)
                : contents->queues[table->policy == POLICY_LRU ? MAIN : SMALL].oldest;
    if (id != NONE) { /* The next to go, as a rule, which was fetched for the last one. */
        const Entry *entry = entry_at(contents, id);
        if (entry->newer != NONE) {
            PREFETCH(entry_at(contents, entry->newer));
        }
        PREFETCH(&index->buckets[entry->tag & index->mask]);
        PREFETCH(entry->key);
        PREFETCH(entry->value);
        if (ghost->size != 0) {
            PREFETCH(&ghost->slots[entry->tag & (ghost->size - 1)]);
        }
    }
}

void
policy_insert(Table *table, Id id)
{
    Contents *contents = &table->contents;
    Entry *entry = entry_at(contents, id);
    int is_known = ghost_take(&contents->ghost, entry->tag, entry_count(contents));
    table->ghost_hits += (uint64_t)is_known;
    contents->count++;
    contents->bytes += (uint64_t)entry->weight;
    if (table->policy == POLICY_GDSF) {
        gdsf_insert(table, id, is_known);
        return;
    }
    entry->freq = 0;
    queue_link(contents, id, entry, is_known || table->policy == POLICY_LRU ? MAIN : SMALL);
}

void
policy_hit(Table *table, Id id, Entry *entry)
{
    if (table->policy == POLICY_LRU) {
        move_newest(&table->contents, id, entry, MAIN);
    }
    else if (table->policy == POLICY_GDSF) {
        if (!entry->freq) {
            entry->freq = 1;
        }
    }
    else if (entry->freq < MOST_HITS) {
        entry->freq++;
    }
}

void
policy_leave(Table *table, Id id, Entry *entry, int is_evicted)
{
    (void)id;
    Contents *contents = &table->contents;
    contents->count--;
    contents->bytes -= (uint64_t)entry->weight;
    if (table->policy == POLICY_GDSF) {
        gdsf_leave(contents, entry);
    }
    else {
        is_evicted = is_evicted && (entry->queue == SMALL || table->policy == POLICY_LRU);
        queue_unlink(contents, entry);
    }
    if (is_evicted) {
        ghost_add(&contents->ghost, entry->tag, entry_count(contents));
    }
}

void
policy_reweighed(Table *table, Id id, Entry *entry, int64_t before)
{
    uint64_t change = (uint64_t)(entry->weight - before);
    queue_at(&table->contents, entry->queue)->bytes += change;
    table->contents.bytes += change;
    if (table->policy == POLICY_GDSF) {
        gdsf_reweighed(table, id, entry);
    }
}

void
policy_note_fresh(Table *table, Id id)
{
    Contents *contents = &table->contents;
    Id before = contents->fresh;
    contents->fresh = id;
    if (table->policy == POLICY_GDSF && before != id) {
        gdsf_note_fresh(contents, before, id);
    }
}

/* Which queue gives the next: the small one where it is larger than its part, but neither one that
   is empty nor, if there is another one, one that has nothing but the entry last set. */
static unsigned
queue_to_look_at(const Table *table)
{
    const Queue *small = &table->contents.queues[SMALL], *main = &table->contents.queues[MAIN];
    if (main->count == 0) {
        return SMALL;
    }
    if (small->count == 0) {
        return MAIN;
    }
    Id fresh = table->contents.fresh;
    if (fresh != NONE) {
        unsigned queue = entry_at(&table->contents, fresh)->queue;
        if (table->contents.queues[queue].count == 1) {
            return queue == SMALL ? MAIN : SMALL;
        }
    }
    if (table->max_bytes < 0 && table->max_entries >= 0) {
        return (uint64_t)small->count * SMALL_PART >= (uint64_t)small->count + main->count ? SMALL
                                                                                         : MAIN;
    }
    uint64_t all = small->bytes + main->bytes;
    return small->bytes >= all / SMALL_PART + (all % SMALL_PART != 0) ? SMALL : MAIN;
}

Id
policy_victim(Table *table)
{
    Contents *contents = &table->contents;
    if (entry_count(contents) == 0) {
        return NONE;
    }
    if (table->policy == POLICY_GDSF) {
        return gdsf_victim(table);
    }
    for (;;) {
        unsigned queue = queue_to_look_at(table);
        Id id = contents->queues[queue].oldest;
        Entry *entry = entry_at(contents, id);
        if (table->policy == POLICY_LRU) {
            return id; /* Where the entry last set is the oldest, all others were used since. */
        }
        if (id == contents->fresh) {
            if (entry_count(contents) == 1) {
                return id;
            }
            move_newest(contents, id, entry, queue);
        }
        else if (entry->freq == 0
                 || (queue == SMALL && entry->freq < PROMOTED_AT)) {
            return id;
        }
        else {
            entry->freq = queue == SMALL ? 0 : (uint8_t)(entry->freq - 1);
            move_newest(contents, id, entry, MAIN);
        }
    }
}
