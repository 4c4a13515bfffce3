/* The index: from a key's tag to its entry's number.

   Open addressing over buckets of one cache line (table_index.h), so that a lookup touches an entry
   only where the tag is equal, and a larger index is filled from the buckets alone. A removal from a
   bucket that had room just empties the place; from a full one, what had found no room there or before
   it is moved back, so there are no tombstones and nothing ever has to be cleaned up. Source: Knuth, The
   Art of Computer Programming 3, 6.4, for buckets and for algorithm R, here by buckets.

   A large index is exchanged bit by bit: new entries go into the new buckets, lookups ask the old ones
   first, and each set moves some over, always up to a bucket with room, so that no search in the old
   ones is cut short. The old pages are given back on the way. */

#include "table.h"

#define FEWEST 2                           /* buckets */
#define AT_ONCE ((size_t)1 << 14)          /* buckets moved in one go, about half a millisecond */
#define MOVED_AT_A_SET 2
#define FORGOTTEN_AT ((size_t)1 << 14)     /* buckets given back together: 1 MiB */

static Bucket no_buckets[1]; /* of an index that was never filled */

static int
is_full(size_t mask, size_t count)
{
    return count * 2 > (mask + 1) * INDEX_LOAD;
}

void
index_start(Index *index)
{
    memset(index, 0, sizeof(*index));
    index->buckets = no_buckets;
}

static void
free_buckets(Bucket *buckets, size_t mask)
{
    if (buckets != no_buckets) {
        block_free(buckets, (mask + 1) * sizeof(Bucket));
    }
}

void
index_free(Index *index)
{
    free_buckets(index->buckets, index->mask);
    if (index->old != NULL) {
        free_buckets(index->old, index->old_mask);
    }
    index_start(index);
}

static void
put(Bucket *buckets, size_t mask, uint32_t tag, Id id)
{
    size_t at = tag & mask;
    uint32_t room;
    while ((room = places_with(&buckets[at], 0)) == 0) {
        at = (at + 1) & mask;
    }
    uint32_t place = lowest_bit(room);
    buckets[at].tags[place] = tag;
    buckets[at].ids[place] = id;
}

/* Moves at least so many of the old buckets over, up to one that had room. */
static void
move(Index *index, size_t buckets)
{
    Bucket *old = index->old;
    size_t at = index->old_at, left = index->old_left;
    while (left > 0) {
        Bucket *bucket = &old[at];
        int has_room = places_with(bucket, 0) != 0;
        for (uint32_t place = 0; place < BUCKET; place++) {
            if (bucket->tags[place] != 0) {
                put(index->buckets, index->mask, bucket->tags[place], bucket->ids[place]);
                bucket->tags[place] = 0;
            }
        }
        at = (at + 1) & index->old_mask;
        left--;
        if ((at & (FORGOTTEN_AT - 1)) == 0 && index->old_mask >= FORGOTTEN_AT) {
            size_t from = ((at - 1) & index->old_mask) & ~(FORGOTTEN_AT - 1);
            if (from >= index->old_first) {
                block_forget(old + from, FORGOTTEN_AT * sizeof(Bucket));
            }
        }
        if (buckets > 0) {
            buckets--;
        }
        if (buckets == 0 && has_room) {
            break;
        }
    }
    index->old_at = at;
    index->old_left = left;
    if (left == 0) {
        free_buckets(old, index->old_mask);
        index->old = NULL;
    }
}

int
index_move(Table *table, size_t buckets)
{
    Index *index = &table->contents.index;
    if (index->old != NULL) {
        table->version++;
        move(index, buckets);
    }
    return index->old != NULL;
}

/* Begins to exchange the buckets for so many, and ends it where they are few. */
static int
exchange(Table *table, size_t size)
{
    Index *index = &table->contents.index;
    if (index->old != NULL) {
        index_move(table, SIZE_MAX);
    }
    Bucket *buckets = block_new(size * sizeof(Bucket));
    if (buckets == NULL) {
        return -1;
    }
    table->version++;
    index->old = index->buckets;
    index->old_mask = index->mask;
    index->buckets = buckets;
    index->mask = size - 1;
    if (index->old == no_buckets) {
        index->old = NULL;
        return 0;
    }
    size_t gap = 0; /* There is one with room: the load is bounded. */
    while (places_with(&index->old[gap], 0) == 0) {
        gap++;
    }
    index->old_first = index->old_at = (gap + 1) & index->old_mask;
    index->old_left = index->old_mask + 1;
    if (index->old_mask < AT_ONCE) {
        move(index, SIZE_MAX);
    }
    return 0;
}

int
index_grow(Table *table)
{
    Index *index = &table->contents.index;
    size_t count = (size_t)entry_count(&table->contents) + 1;
    if (UNLIKELY(index->old != NULL)) {
        /* So many that the old ones are empty before the new ones are full. */
        size_t most = (index->mask + 1) * INDEX_LOAD / 2;
        size_t room = most > count ? most - count : 1;
        size_t share = index->old_left / room + 1;
        index_move(table, share > MOVED_AT_A_SET ? share : MOVED_AT_A_SET);
    }
    if (LIKELY(index->buckets != no_buckets && !is_full(index->mask, count))) {
        return 0;
    }
    return exchange(table, index->buckets == no_buckets ? FEWEST : 2 * (index->mask + 1));
}

int
index_shrink(Table *table)
{
    Index *index = &table->contents.index;
    size_t count = entry_count(&table->contents), fit = FEWEST;
    while (is_full(fit - 1, count)) {
        fit *= 2;
    }
    if (index->old != NULL || (index->mask + 1) / 4 < fit) {
        return 0;
    }
    return exchange(table, fit) == 0;
}

void
index_insert(Index *index, uint32_t tag, Id id)
{
    put(index->buckets, index->mask, tag, id);
}

/* Where exactly this entry stands: its bucket, and its place there; -1 where it does not. */
static int
find(const Bucket *buckets, size_t mask, uint32_t tag, Id id, size_t *at)
{
    for (*at = tag & mask;; *at = (*at + 1) & mask) {
        const Bucket *bucket = &buckets[*at];
        for (uint32_t places = places_with(bucket, tag); places != 0; places &= places - 1) {
            uint32_t place = lowest_bit(places);
            if (LIKELY(bucket->ids[place] == id)) {
                return (int)place;
            }
        }
        if (places_with(bucket, 0) != 0) {
            return -1;
        }
    }
}

/* Fills the hole in a full bucket with what had found no room there or before it, if anything. */
static void
fill_hole(Bucket *buckets, size_t mask, size_t hole, int place)
{
    for (size_t at = (hole + 1) & mask;; at = (at + 1) & mask) {
        Bucket *bucket = &buckets[at];
        int had_room = places_with(bucket, 0) != 0, found = -1;
        for (int one = 0; one < BUCKET && found < 0; one++) {
            uint32_t tag = bucket->tags[one];
            if (tag != 0 && ((at - tag) & mask) >= ((at - hole) & mask)) {
                found = one;
            }
        }
        if (found >= 0) {
            buckets[hole].tags[place] = bucket->tags[found];
            buckets[hole].ids[place] = bucket->ids[found];
            bucket->tags[found] = 0;
            hole = at;
            place = found;
        }
        if (had_room) {
            return;
        }
    }
}

void
index_remove(Index *index, uint32_t tag, Id id)
{
    Bucket *buckets = index->buckets;
    size_t mask = index->mask, at;
    int place = find(buckets, mask, tag, id, &at);
    if (UNLIKELY(place < 0)) {
        buckets = index->old;
        mask = index->old_mask;
        place = find(buckets, mask, tag, id, &at);
    }
    int had_room = places_with(&buckets[at], 0) != 0;
    buckets[at].tags[place] = 0;
    if (UNLIKELY(!had_room)) {
        fill_hole(buckets, mask, at, place);
    }
}

void
index_rename(Index *index, uint32_t tag, Id from, Id to)
{
    Bucket *buckets = index->buckets;
    size_t at;
    int place = find(buckets, index->mask, tag, from, &at);
    if (place < 0) {
        buckets = index->old;
        place = find(buckets, index->old_mask, tag, from, &at);
    }
    buckets[at].ids[place] = to;
}
