/* The default order of eviction: value per byte, aged, without a heap.

   An entry is worth (2 rank + 3)² / sqrt(weight): the rank is how often it proved used, the weight in
   powers of two. A clock L stands at the worth of the last victim; an entry is linked with the mark
   H = L + worth, and the lowest mark goes first, so what was worth much once grows old. Since L only
   rises, the marks of one queue for each (class of weight, rank) are in order by construction, and
   the lowest is the least of the queues' ends. A hit sets one bit; an entry that comes up with the bit
   set loses it, rises one rank and is linked anew. A key that the ghost knows comes in at rank 2.
   Where entries bind there is one class.

   Sources: Cherkasova, Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching,
   1998; the looks from CLOCK, the ghost from S3-FIFO. ADR 16 has the figures behind the constants.

   Each queue's end has its mark kept beside it, UINT64_MAX where it is empty or its end is the entry
   last set, which is passed over; and each class the least of its eight. */

#include "table.h"

#define TOP_RANK (RANKS - 1)
#define KNOWN_RANK 2
#define HIDDEN UINT64_MAX
#define CLOCK_START (UINT64_C(1) << 40) /* Marks that were left behind stay above zero. */

/* 1 / sqrt(2^class), in 2^20ths. */
static uint32_t
worth_of_class(unsigned class)
{
    return class % 2 ? UINT32_C(741455) >> class / 2 : UINT32_C(1048576) >> class / 2;
}

static uint32_t
worth(unsigned class, unsigned rank)
{
    return (2 * rank + 3) * (2 * rank + 3) * worth_of_class(class);
}

static unsigned
class_of(const Table *table, int64_t weight)
{
    if (table->max_bytes < 0 && table->max_entries >= 0) {
        return 0;
    }
    uint64_t rest = weight > 0 ? (uint64_t)weight : 1;
#if defined(__GNUC__) || defined(__clang__)
    unsigned class = 63u - (unsigned)__builtin_clzll(rest);
#else
    unsigned class = 0;
    while ((rest >>= 1) != 0) {
        class++;
    }
#endif
    return class < CLASSES ? class : CLASSES - 1;
}

void
gdsf_start(Gdsf *gdsf)
{
    memset(gdsf, 0, sizeof(*gdsf));
    gdsf->clock = CLOCK_START;
    gdsf->lowest = CLASSES;
    for (unsigned class = 0; class < CLASSES; class++) {
        gdsf->least[class] = HIDDEN;
    }
}

/* The entry that goes next, in all likelihood; NONE where none is known. */
Id
gdsf_next(const Contents *contents)
{
    const Gdsf *gdsf = &contents->gdsf;
    const Class *class = gdsf->classes[gdsf->last / RANKS];
    return class != NULL ? class->queues[gdsf->last % RANKS].oldest : NONE;
}

void
gdsf_free(Gdsf *gdsf)
{
    for (unsigned class = 0; class < CLASSES; class++) {
        PyMem_RawFree(gdsf->classes[class]);
        gdsf->classes[class] = NULL;
    }
}

/* Makes sure that there are queues for such a weight; -1 without an exception. */
int
gdsf_reserve(Table *table, int64_t weight)
{
    Gdsf *gdsf = &table->contents.gdsf;
    unsigned class = class_of(table, weight);
    if (LIKELY(gdsf->classes[class] != NULL)) {
        return 0;
    }
    Class *made = PyMem_RawMalloc(sizeof(Class));
    if (made == NULL) {
        return -1;
    }
    for (unsigned rank = 0; rank < RANKS; rank++) {
        made->queues[rank] = (Queue){NONE, NONE, 0, 0};
        made->marks[rank] = HIDDEN;
    }
    gdsf->classes[class] = made;
    gdsf->lowest = class < gdsf->lowest ? class : gdsf->lowest;
    gdsf->highest = class > gdsf->highest ? class : gdsf->highest;
    return 0;
}

/* Looks at the end of a queue again. */
static void
refresh(Contents *contents, unsigned number)
{
    Gdsf *gdsf = &contents->gdsf;
    unsigned of_class = number / RANKS;
    Class *class = gdsf->classes[of_class];
    Id end = class->queues[number % RANKS].oldest;
    uint64_t mark = HIDDEN;
    if (end != NONE && end != contents->fresh) {
        int32_t ahead = (int32_t)(entry_at(contents, end)->mark - (uint32_t)gdsf->clock);
        mark = gdsf->clock + (uint64_t)(int64_t)ahead;
    }
    class->marks[number % RANKS] = mark;
    uint64_t least = class->marks[0];
    for (unsigned rank = 1; rank < RANKS; rank++) {
        least = class->marks[rank] < least ? class->marks[rank] : least;
    }
    gdsf->least[of_class] = least;
}

static void
link_ranked(Contents *contents, Id id, Entry *entry, unsigned number)
{
    Gdsf *gdsf = &contents->gdsf;
    entry->mark = (uint32_t)gdsf->clock + worth(number / RANKS, number % RANKS);
    queue_link(contents, id, entry, FIRST_RANKED + number);
    if (entry->older == NONE) {
        refresh(contents, number);
    }
}

static void
unlink_ranked(Contents *contents, Entry *entry)
{
    int was_end = entry->older == NONE;
    unsigned number = entry->queue - FIRST_RANKED;
    queue_unlink(contents, entry);
    if (was_end) {
        refresh(contents, number);
    }
}

void
gdsf_insert(Table *table, Id id, int is_known)
{
    Entry *entry = entry_at(&table->contents, id);
    entry->freq = 0;
    link_ranked(&table->contents, id, entry,
                class_of(table, entry->weight) * RANKS + (is_known ? KNOWN_RANK : 0));
}

void
gdsf_leave(Contents *contents, Entry *entry)
{
    unlink_ranked(contents, entry);
}

/* An entry's weight has changed. */
void
gdsf_reweighed(Table *table, Id id, Entry *entry)
{
    unsigned number = entry->queue - FIRST_RANKED, class = class_of(table, entry->weight);
    if (class == number / RANKS || gdsf_reserve(table, entry->weight) < 0) {
        return;
    }
    unlink_ranked(&table->contents, entry);
    link_ranked(&table->contents, id, entry, class * RANKS + number % RANKS);
}

/* Another entry is now the one last set: the ends that are passed over change. */
void
gdsf_note_fresh(Contents *contents, Id before, Id now)
{
    Id both[] = {before, now};
    for (int at = 0; at < 2; at++) {
        if (both[at] != NONE && entry_at(contents, both[at])->older == NONE) {
            refresh(contents, entry_at(contents, both[at])->queue - FIRST_RANKED);
        }
    }
}

/* The number of the queue whose end has the lowest mark: of equal ones the heavier class, then the
   lower rank; FIRST_RANKED + CLASSES * RANKS where all are hidden. */
static unsigned
lowest_queue(const Gdsf *gdsf)
{
    uint64_t least = HIDDEN;
    unsigned class = CLASSES;
    for (unsigned at = gdsf->highest + 1u; at-- > gdsf->lowest;) {
        if (gdsf->least[at] < least) {
            least = gdsf->least[at];
            class = at;
        }
    }
    if (class == CLASSES) {
        return CLASSES * RANKS;
    }
    unsigned rank = 0;
    while (gdsf->classes[class]->marks[rank] != least) {
        rank++;
    }
    return class * RANKS + rank;
}

Id
gdsf_victim(Table *table)
{
    Contents *contents = &table->contents;
    Gdsf *gdsf = &contents->gdsf;
    Id fresh = contents->fresh;
    if (contents->count == 1 && fresh != NONE) {
        contents->fresh = NONE; /* Alone, it is the one. */
        gdsf_note_fresh(contents, fresh, NONE);
    }
    for (;;) {
        unsigned number = lowest_queue(gdsf);
        if (number == CLASSES * RANKS) {
            Entry *entry = entry_at(contents, fresh);
            number = entry->queue - FIRST_RANKED;
            unlink_ranked(contents, entry);
            link_ranked(contents, fresh, entry, number);
            continue;
        }
        Class *class = gdsf->classes[number / RANKS];
        uint64_t mark = class->marks[number % RANKS];
        gdsf->clock = mark > gdsf->clock ? mark : gdsf->clock;
        Id id = class->queues[number % RANKS].oldest;
        Entry *entry = entry_at(contents, id);
        if (!entry->freq) {
            gdsf->last = (uint16_t)number;
            return id;
        }
        entry->freq = 0;
        unlink_ranked(contents, entry);
        link_ranked(contents, id, entry, number % RANKS < TOP_RANK ? number + 1 : number);
    }
}
