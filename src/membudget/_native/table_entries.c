/* The entries themselves, in chunks of 16384 (1 MiB).

   An entry never moves but in `_fold`, except that the first chunk grows by doubling, so that a tiny
   table is tiny. A new entry takes the lowest chunk that has room: chunks at the end empty first, and
   can be given back. Within a chunk the one freed last is taken first, since it is in the cache. */

#include "table.h"

#define FIRST_ROOM 8u
#define MOST_CHUNKS ((FIRST_END >> CHUNK_SHIFT) - 1)

static size_t
chunk_bytes(const Entries *entries, uint32_t chunk)
{
    return sizeof(Entry) * (size_t)(chunk == 0 ? entries->first : CHUNK_ENTRIES);
}

static uint32_t
chunk_room(const Entries *entries, uint32_t chunk)
{
    return chunk == 0 ? entries->first : CHUNK_ENTRIES;
}

static void
set_hole(Entries *entries, uint32_t chunk, int has_room)
{
    uint64_t bit = (uint64_t)1 << (chunk & 63);
    if (has_room) {
        entries->holes[chunk >> 6] |= bit;
    }
    else {
        entries->holes[chunk >> 6] &= ~bit;
    }
}

static uint32_t
lowest_hole(const Entries *entries)
{
    for (uint32_t word = 0; word * 64 < entries->count; word++) {
        if (entries->holes[word] != 0) {
            return word * 64 + lowest_bit(entries->holes[word]);
        }
    }
    return NONE;
}

static void *
grown(void *array, size_t old_bytes, size_t bytes)
{
    void *block = block_new(bytes);
    if (block != NULL && array != NULL) {
        memcpy(block, array, old_bytes < bytes ? old_bytes : bytes);
        block_free(array, old_bytes);
    }
    return block;
}

static int
grow_books(Entries *entries)
{
    uint32_t old = entries->room, room = old ? 4 * old : 4;
    size_t old_words = ((size_t)old + 63) / 64, words = ((size_t)room + 63) / 64;
    Entry **blocks = block_new(room * sizeof(Entry *));
    Chunk *chunks = block_new(room * sizeof(Chunk));
    uint64_t *holes = block_new(words * sizeof(uint64_t));
    if (blocks == NULL || chunks == NULL || holes == NULL) {
        block_free(blocks, room * sizeof(Entry *));
        block_free(chunks, room * sizeof(Chunk));
        block_free(holes, words * sizeof(uint64_t));
        return -1;
    }
    if (old != 0) {
        memcpy(blocks, entries->blocks, old * sizeof(Entry *));
        memcpy(chunks, entries->chunks, old * sizeof(Chunk));
        memcpy(holes, entries->holes, old_words * sizeof(uint64_t));
        block_free(entries->blocks, old * sizeof(Entry *));
        block_free(entries->chunks, old * sizeof(Chunk));
        block_free(entries->holes, old_words * sizeof(uint64_t));
    }
    entries->blocks = blocks;
    entries->chunks = chunks;
    entries->holes = holes;
    entries->room = room;
    return 0;
}

static int
grow_first(Entries *entries, uint32_t room)
{
    Entry *block = grown(entries->blocks[0], chunk_bytes(entries, 0), sizeof(Entry) * (size_t)room);
    if (block == NULL) {
        return -1;
    }
    entries->blocks[0] = block;
    entries->first = room;
    set_hole(entries, 0, 1);
    return 0;
}

int
entries_grow(Contents *contents)
{
    Entries *entries = &contents->entries;
    if (lowest_hole(entries) != NONE) {
        return 0;
    }
    if (entries->count == 1 && entries->first < CHUNK_ENTRIES) {
        return grow_first(entries, 2 * entries->first);
    }
    if (entries->count == MOST_CHUNKS
        || (entries->count == entries->room && grow_books(entries) < 0)) {
        return -1;
    }
    uint32_t chunk = entries->count;
    uint32_t first = entries->first;
    entries->first = chunk == 0 ? FIRST_ROOM : first;
    Entry *block = block_new(chunk_bytes(entries, chunk));
    if (block == NULL) {
        entries->first = first;
        return -1;
    }
    entries->blocks[chunk] = block;
    entries->chunks[chunk] = (Chunk){.free = NONE};
    entries->count++;
    set_hole(entries, chunk, 1);
    return 0;
}

Id
entries_take(Contents *contents)
{
    Entries *entries = &contents->entries;
    uint32_t number = lowest_hole(entries);
    Chunk *chunk = &entries->chunks[number];
    Id id = chunk->free;
    if (id != NONE) {
        chunk->free = entry_at(contents, id)->older;
    }
    else {
        id = (number << CHUNK_SHIFT) + chunk->top++;
    }
    if (++chunk->used == chunk_room(entries, number)) {
        set_hole(entries, number, 0);
    }
    return id;
}

void
entries_give(Contents *contents, Id id)
{
    Entries *entries = &contents->entries;
    uint32_t number = id >> CHUNK_SHIFT;
    Chunk *chunk = &entries->chunks[number];
    Entry *entry = entry_at(contents, id);
    entry->key = entry->value = NULL;
    entry->flags = 0;
    entry->older = chunk->free;
    chunk->free = id;
    chunk->used--;
    set_hole(entries, number, 1);
}

Id
entries_end(const Contents *contents)
{
    const Entries *entries = &contents->entries;
    return entries->count == 0
               ? 0
               : ((entries->count - 1) << CHUNK_SHIFT) + entries->chunks[entries->count - 1].top;
}

int
entries_has(const Contents *contents, Id id)
{
    const Entries *entries = &contents->entries;
    uint32_t number = id >> CHUNK_SHIFT;
    return number < entries->count && (id & (CHUNK_ENTRIES - 1)) < entries->chunks[number].top
           && entry_at(contents, id)->key != NULL;
}

void
entries_drop_chunk(Contents *contents)
{
    Entries *entries = &contents->entries;
    uint32_t last = --entries->count;
    set_hole(entries, last, 0);
    block_free(entries->blocks[last], chunk_bytes(entries, last));
    entries->blocks[last] = NULL;
}

int
entries_shrink_first(Contents *contents, uint32_t room, void (*move)(void *, Id, Id), void *arg)
{
    Entries *entries = &contents->entries;
    Chunk *chunk = &entries->chunks[0];
    Entry *block = entries->blocks[0];
    Id low = 0;
    for (Id id = room; id < chunk->top; id++) {
        if (block[id].key != NULL) {
            while (low < chunk->top && block[low].key != NULL) {
                low++;
            }
            move(arg, id, low);
            block[id].key = NULL;
        }
    }
    chunk->top = chunk->top < room ? chunk->top : room;
    chunk->free = NONE;
    for (Id id = chunk->top; id-- > 0;) {
        if (block[id].key == NULL) {
            block[id].older = chunk->free;
            chunk->free = id;
        }
    }
    int done = grow_first(entries, room); /* Without memory for the smaller one, the larger stays. */
    set_hole(entries, 0, chunk->used < entries->first);
    return done;
}

void
entries_free(Entries *entries)
{
    for (uint32_t chunk = 0; chunk < entries->count; chunk++) {
        block_free(entries->blocks[chunk], chunk_bytes(entries, chunk));
    }
    block_free(entries->blocks, entries->room * sizeof(Entry *));
    block_free(entries->chunks, entries->room * sizeof(Chunk));
    block_free(entries->holes, ((size_t)entries->room + 63) / 64 * sizeof(uint64_t));
    memset(entries, 0, sizeof(*entries));
}
