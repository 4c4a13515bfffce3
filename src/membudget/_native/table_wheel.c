/* The wheel: which entries expire next, without a heap.

   Time is cut into ticks of 1/64 s. Entries due within 64 ticks stand in the slot of their tick,
   those further off in slots of coarser levels, 64, 64^2 and 64^3 ticks wide, and are placed anew one
   level finer when the wheel comes to their slot; beyond that they wait in a list of their own. So
   adding and removing take constant time, and what expires together is found together. Source:
   Varghese and Lauck, Hashed and Hierarchical Timing Wheels (1987), scheme 7.

   Lists are closed into circles by numbers that stand for their ends, so that an entry leaves without
   knowing which list it is in, and a list of a million is hung onto another one in no time. What is to
   be placed anew waits in PENDING and is placed within the moves of a search. */

#include "table.h"

#define MOVES 1024
#define BITS 6
#define LOW 63

static Id
end_id(uint32_t list)
{
    return FIRST_END + list;
}

static inline Id *
later_of(Contents *contents, Id id)
{
    return id >= FIRST_END ? &contents->wheel.ends[id - FIRST_END].later
                           : &entry_at(contents, id)->later;
}

static inline Id *
sooner_of(Contents *contents, Id id)
{
    return id >= FIRST_END ? &contents->wheel.ends[id - FIRST_END].sooner
                           : &entry_at(contents, id)->sooner;
}

int
wheel_reserve(Wheel *wheel)
{
    if (wheel->ends != NULL) {
        return 0;
    }
    wheel->ends = PyMem_RawMalloc(ENDS * sizeof(End));
    if (wheel->ends == NULL) {
        return -1;
    }
    for (uint32_t list = 0; list < ENDS; list++) {
        wheel->ends[list] = (End){end_id(list), end_id(list)};
    }
    return 0;
}

/* A tick of 32 bits as what it was, given one near it. */
static int64_t
full_tick(uint32_t ticks, int64_t near)
{
    return near + (int32_t)(ticks - (uint32_t)near);
}

double
wheel_ends(const Table *table, const Entry *entry, double now)
{
    if (table->idle_ticks == 0) {
        return entry->expires;
    }
    int64_t used = full_tick(entry->used, tick_of(table, now));
    double idle = table->epoch + (double)(used + table->idle_ticks) / 64;
    return idle < entry->expires ? idle : entry->expires;
}

int
has_idled(const Table *table, const Entry *entry, double now)
{
    int64_t tick = tick_of(table, now);
    return tick - full_tick(entry->used, tick) >= table->idle_ticks;
}

/* The tick in which an entry expires. */
static int64_t
deadline(const Table *table, const Entry *entry)
{
    int64_t tick = table->contents.wheel.tick;
    int64_t idle = INT64_MAX;
    if (table->idle_ticks != 0) {
        idle = full_tick(entry->used, tick) + table->idle_ticks;
        if (entry->expires == Py_HUGE_VAL) {
            return idle;
        }
    }
    int64_t hard = tick_of(table, entry->expires);
    return hard < idle ? hard : idle;
}

static void
place(Table *table, Id id, Entry *entry)
{
    Contents *contents = &table->contents;
    Wheel *wheel = &contents->wheel;
    int64_t at = deadline(table, entry), delta = at - wheel->tick;
    uint32_t list;
    if (delta <= 0) {
        list = DUE;
    }
    else {
        int level = 0;
        while (level < LEVELS && delta >> (BITS * (level + 1)) != 0) {
            level++;
        }
        list = OVERFLOWING;
        if (level < LEVELS) {
            uint32_t slot = (uint32_t)(at >> (BITS * level)) & LOW;
            wheel->bits[level] |= (uint64_t)1 << slot;
            list = (uint32_t)level * 64 + slot;
        }
    }
    Id end = end_id(list), last = wheel->ends[list].sooner;
    entry->sooner = last;
    entry->later = end;
    *later_of(contents, last) = id;
    wheel->ends[list].sooner = id;
    wheel->count++;
}

void
wheel_add(Table *table, Id id, double now)
{
    Wheel *wheel = &table->contents.wheel;
    if (wheel->count == 0) {
        wheel->tick = tick_of(table, now);
    }
    place(table, id, entry_at(&table->contents, id));
}

void
wheel_unlink(Contents *contents, Entry *entry)
{
    *later_of(contents, entry->sooner) = entry->later;
    *sooner_of(contents, entry->later) = entry->sooner;
    entry->later = NONE;
    contents->wheel.count--;
}

void
wheel_rename(Contents *contents, const Entry *entry, Id to)
{
    if (entry->later != NONE) {
        *later_of(contents, entry->sooner) = to;
        *sooner_of(contents, entry->later) = to;
    }
}

/* Hangs all of a list onto the end of another one. */
static void
append(Contents *contents, uint32_t from, uint32_t to)
{
    End *ends = contents->wheel.ends;
    Id first = ends[from].later, last = ends[from].sooner, end = ends[to].sooner;
    if (first == end_id(from)) {
        return;
    }
    ends[from] = (End){end_id(from), end_id(from)};
    *later_of(contents, end) = first;
    *sooner_of(contents, first) = end;
    *later_of(contents, last) = end_id(to);
    ends[to].sooner = last;
}

/* Hangs the slot of a level that the wheel stands at onto a list. */
static void
empty(Contents *contents, int level, uint32_t to)
{
    Wheel *wheel = &contents->wheel;
    uint32_t slot = (uint32_t)(wheel->tick >> (BITS * level)) & LOW;
    if (wheel->bits[level] >> slot & 1) {
        wheel->bits[level] &= ~((uint64_t)1 << slot);
        append(contents, (uint32_t)level * 64 + slot, to);
    }
}

/* The next tick at which there is something to do, at most `most`. */
static int64_t
next_tick(const Wheel *wheel, int64_t most)
{
    for (int level = 0; level < LEVELS; level++) {
        uint64_t bits = wheel->bits[level];
        if (bits == 0) {
            continue;
        }
        int64_t at = wheel->tick >> (BITS * level);
        uint32_t here = (uint32_t)at & LOW;
        uint64_t ahead = here ? bits >> here | bits << (64 - here) : bits;
        ahead &= ~(uint64_t)1;
        int64_t next = (at + (ahead ? lowest_bit(ahead) : 64)) * ((int64_t)1 << (BITS * level));
        most = next < most ? next : most;
    }
    if (wheel->ends[OVERFLOWING].later != end_id(OVERFLOWING)) {
        int64_t next = ((wheel->tick >> (BITS * LEVELS)) + 1) * ((int64_t)1 << (BITS * LEVELS));
        most = next < most ? next : most;
    }
    return most;
}

static void
turn(Contents *contents, int64_t most)
{
    Wheel *wheel = &contents->wheel;
    int64_t tick = wheel->tick = next_tick(wheel, most);
    if ((tick & LOW) != 0) {
        return;
    }
    if ((tick & (((int64_t)1 << (BITS * LEVELS)) - 1)) == 0) {
        append(contents, OVERFLOWING, PENDING);
    }
    for (int level = LEVELS - 1; level > 0; level--) {
        if ((tick & (((int64_t)1 << (BITS * level)) - 1)) == 0) {
            empty(contents, level, PENDING);
        }
    }
}

Id
wheel_search(Table *table, double now)
{
    Contents *contents = &table->contents;
    Wheel *wheel = &contents->wheel;
    int64_t tick = tick_of(table, now);
    for (int moves = MOVES; moves > 0; moves--) {
        Id id;
        for (;;) {
            if ((id = wheel->ends[DUE].later) < FIRST_END) {
                Entry *entry = entry_at(contents, id);
                if (has_ended(table, entry, now)) {
                    return id;
                }
                if (deadline(table, entry) <= wheel->tick) {
                    return NONE; /* Later within this very tick. */
                }
                break;
            }
            if ((id = wheel->ends[PENDING].later) < FIRST_END) {
                break;
            }
            if (wheel->bits[0] >> (wheel->tick & LOW) & 1) {
                empty(contents, 0, DUE);
            }
            else if (wheel->tick < tick) {
                turn(contents, tick);
            }
            else {
                return NONE;
            }
        }
        Entry *entry = entry_at(contents, id);
        wheel_remove(contents, entry);
        place(table, id, entry);
    }
    table->is_behind = 1;
    return NONE;
}

double
wheel_soonest(const Table *table)
{
    const Contents *contents = &table->contents;
    const Wheel *wheel = &contents->wheel;
    if (wheel->count == 0) {
        return Py_HUGE_VAL;
    }
    Id due = wheel->ends[DUE].later;
    if (due < FIRST_END) {
        const Entry *entry = entry_at(contents, due);
        return wheel_ends(table, entry, table->epoch + (double)wheel->tick / 64);
    }
    int64_t tick = wheel->tick;
    if (wheel->ends[PENDING].later >= FIRST_END && !(wheel->bits[0] >> (tick & LOW) & 1)) {
        tick = next_tick(wheel, INT64_MAX);
    }
    return table->epoch + (double)tick / 64;
}
