/* The ghost: which keys were evicted lately, without keeping them.

   One slot of eight bytes for each: a tag of the key beside the number of its eviction, so that one
   of long ago, or of another key in the same slot, is told from one that counts. A wrong match, one
   in four billion, costs a place in the main queue.

   Sizes are powers of two, so that no two slots meet when it grows: the old array is looked through
   where the new one has nothing, and moved over bit by bit. */

#include "table.h"

#define FEWEST_SLOTS 64
#define FEWEST_KNOWN 16
#define LOOSE_BY 4
#define MOVED 64
#define LARGE ((size_t)1 << 18) /* Slots beyond which folding would take milliseconds. */

void
ghost_free(Ghost *ghost)
{
    block_free(ghost->slots, ghost->size * sizeof(uint64_t));
    block_free(ghost->elder, ghost->elder_size * sizeof(uint64_t));
    memset(ghost, 0, sizeof(*ghost));
}

static void
move(Ghost *ghost, size_t slots)
{
    size_t end = ghost->elder_size;
    for (; slots > 0 && ghost->elder_at < end; slots--) {
        uint64_t slot = ghost->elder[ghost->elder_at++];
        size_t at = (size_t)(slot >> 32) & (ghost->size - 1);
        if (slot != 0 && ghost->slots[at] == 0) {
            ghost->slots[at] = slot;
        }
    }
    if (ghost->elder_at == end) {
        block_free(ghost->elder, end * sizeof(uint64_t));
        ghost->elder = NULL;
        ghost->elder_size = 0;
    }
}

/* Where a tag's slot is, after what an elder array held for that place was moved there. */
static uint64_t *
place(Ghost *ghost, uint32_t tag)
{
    size_t at = tag & (ghost->size - 1);
    if (UNLIKELY(ghost->elder != NULL)) {
        size_t before = tag & (ghost->elder_size - 1);
        uint64_t slot = ghost->elder[before];
        if (slot != 0 && ((size_t)(slot >> 32) & (ghost->size - 1)) == at) {
            ghost->elder[before] = 0;
            if (ghost->slots[at] == 0) {
                ghost->slots[at] = slot;
            }
        }
        move(ghost, MOVED);
    }
    return &ghost->slots[at];
}

/* Makes room for so many; without memory, things stay as they are. */
static void
grow(Ghost *ghost, uint32_t entries)
{
    size_t size = ghost->size ? ghost->size : FEWEST_SLOTS;
    while (size < entries) {
        size *= 2;
    }
    if (ghost->elder != NULL) {
        move(ghost, SIZE_MAX);
    }
    uint64_t *slots = block_new(size * sizeof(uint64_t));
    if (slots == NULL) {
        return;
    }
    if (ghost->size != 0) {
        ghost->elder = ghost->slots;
        ghost->elder_size = ghost->size;
        ghost->elder_at = 0;
    }
    ghost->slots = slots;
    ghost->size = size;
}

void
ghost_add(Ghost *ghost, uint32_t tag, uint32_t entries)
{
    ghost->added++;
    if (ghost->size == 0 || ghost->size < entries) {
        grow(ghost, entries);
    }
    if (ghost->size != 0) {
        *place(ghost, tag) = (uint64_t)tag << 32 | (uint32_t)ghost->added;
    }
}

int
ghost_take(Ghost *ghost, uint32_t tag, uint32_t entries)
{
    if (ghost->size == 0) {
        return 0;
    }
    uint64_t *slot = place(ghost, tag);
    uint32_t age = (uint32_t)ghost->added - (uint32_t)*slot;
    if ((uint32_t)(*slot >> 32) != tag || age >= (entries > FEWEST_KNOWN ? entries : FEWEST_KNOWN)) {
        return 0;
    }
    *slot = 0;
    ghost->ages += age;
    return 1;
}

uint64_t
ghost_known(const Ghost *ghost, uint32_t entries)
{
    uint64_t most = entries > FEWEST_KNOWN ? entries : FEWEST_KNOWN;
    return ghost->added < most ? ghost->added : most;
}

int
ghost_fold(Ghost *ghost, uint32_t entries)
{
    size_t fit = FEWEST_SLOTS;
    while (fit < entries) {
        fit *= 2;
    }
    if (ghost->size <= LOOSE_BY * fit) {
        return 0;
    }
    if (ghost->elder != NULL) {
        move(ghost, SIZE_MAX);
    }
    uint64_t *slots = block_new(fit * sizeof(uint64_t));
    if (slots == NULL) {
        return 0;
    }
    /* What a very large one knows is mostly of long ago by now. */
    for (size_t at = 0; ghost->size <= LARGE && at < ghost->size; at++) {
        uint64_t slot = ghost->slots[at];
        if (slot != 0) {
            slots[(size_t)(slot >> 32) & (fit - 1)] = slot;
        }
    }
    uint64_t *old = ghost->slots;
    size_t size = ghost->size;
    ghost->slots = slots;
    ghost->size = fit;
    if (size <= LARGE) {
        block_free(old, size * sizeof(uint64_t));
        return 1;
    }
    /* All is in order; the system takes a while for so many pages. */
    Py_BEGIN_ALLOW_THREADS
    block_free(old, size * sizeof(uint64_t));
    Py_END_ALLOW_THREADS
    return 1;
}
