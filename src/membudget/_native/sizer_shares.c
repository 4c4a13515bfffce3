/* What a table knows of the parts that several of its entries refer to.

   A part with more references than an entry's walk met is held by somebody else. Here it is
   written down how many references each entry contributed, so that the sum over the entries can be
   compared with the reference count: equal means that the table alone holds the part. Only parts
   above 64 bytes that look held are written down, so most tables have none of this.

   Two hash tables with chains over arrays: parts by address, and links (entry, part, references)
   by the entry's address. The addresses are never followed. An entry that is weighed again first
   takes its links back; so does one that comes to lie where a forgotten one lay. When there are
   too many, of new ones nothing is known: each pays its portion, as if the table held the part
   alone.

   Chains grow in number one by one, as items come, so that no set waits for millions to be hung up
   anew: Litwin, Linear hashing, VLDB 1980. */

#include "sizer_inside.h"
#include <string.h>

/* Bounds the memory to some 180 MB, of which an entry is charged its own links. */
#define MOST ((size_t)1 << 22)

#define FIRST_ROOM ((size_t)64)

typedef struct {
    const void *name;    /* the part's address, or the entry's */
    const void *part;    /* of a link */
    Py_ssize_t known;    /* references counted */
    uint32_t next;       /* 1 + index in the chain, or in the list of free ones */
} Item;

typedef struct {
    Item *items;
    uint32_t *chains; /* 1 + index of the first */
    size_t room;      /* items there is room for, and chains; a power of two or 0 */
    size_t whole;     /* chains at the beginning of this round, a power of two */
    size_t split;     /* of these, so many were split in two */
    size_t used;      /* items ever handed out */
    size_t count;
    uint32_t free;
} Index;

struct Shares {
    Index parts;
    Index links;
};

static size_t
hash_of(const void *name)
{
    return (size_t)(((uint64_t)((uintptr_t)name >> 4) * 0x9E3779B97F4A7C15u) >> 32);
}

static size_t
chain_of(const Index *index, const void *name)
{
    size_t hash = hash_of(name), at = hash & (index->whole - 1);
    return at < index->split ? hash & (2 * index->whole - 1) : at;
}

static void
index_clear(Index *index)
{
    PyMem_Free(index->items);
    PyMem_Free(index->chains);
    memset(index, 0, sizeof(*index));
}

static int
index_grow(Index *index)
{
    size_t old = index->room, room = old ? 2 * old : FIRST_ROOM;
    Item *items = PyMem_Realloc(index->items, room * sizeof(Item));
    if (items == NULL) {
        return -1;
    }
    index->items = items;
    uint32_t *chains = PyMem_Realloc(index->chains, room * sizeof(uint32_t));
    if (chains == NULL) {
        return -1;
    }
    memset(chains + old, 0, (room - old) * sizeof(uint32_t));
    index->chains = chains;
    index->room = room;
    index->whole = old ? index->whole : FIRST_ROOM;
    return 0;
}

/* Splits one chain in two; there is room for it, as there are fewer chains than items. */
static void
index_split(Index *index)
{
    uint32_t *stays = &index->chains[index->split], at = *stays;
    uint32_t *goes = &index->chains[index->split + index->whole];
    *stays = *goes = 0;
    while (at != 0) {
        Item *item = &index->items[at - 1];
        uint32_t next = item->next, *chain = hash_of(item->name) & index->whole ? goes : stays;
        item->next = *chain;
        *chain = at;
        at = next;
    }
    if (++index->split == index->whole) {
        index->whole *= 2;
        index->split = 0;
    }
}

static Item *
index_add(Index *index, const void *name)
{
    uint32_t at = index->free;
    if (at != 0) {
        index->free = index->items[at - 1].next;
    }
    else {
        if (index->used == index->room && index_grow(index) < 0) {
            return NULL;
        }
        at = (uint32_t)++index->used;
    }
    if (index->count >= index->whole + index->split) {
        index_split(index);
    }
    uint32_t *chain = &index->chains[chain_of(index, name)];
    index->items[at - 1] = (Item){.name = name, .next = *chain};
    *chain = at;
    index->count++;
    return &index->items[at - 1];
}

/* Takes the item at the end of `link` out of its chain. */
static void
index_remove(Index *index, uint32_t *link)
{
    uint32_t at = *link;
    *link = index->items[at - 1].next;
    index->items[at - 1].next = index->free;
    index->free = at;
    index->count--;
}

static uint32_t *
index_find(Index *index, const void *name)
{
    uint32_t *link = &index->chains[chain_of(index, name)];
    while (*link != 0 && index->items[*link - 1].name != name) {
        link = &index->items[*link - 1].next;
    }
    return link;
}

Shares *
shares_new(void)
{
    return PyMem_Calloc(1, sizeof(Shares));
}

void
shares_free(Shares *shares)
{
    if (shares != NULL) {
        index_clear(&shares->parts);
        index_clear(&shares->links);
        PyMem_Free(shares);
    }
}

void
shares_forget(Shares *shares, const void *entry)
{
    if (shares == NULL || shares->links.count == 0) {
        return;
    }
    Index *links = &shares->links, *parts = &shares->parts;
    uint32_t *link = &links->chains[chain_of(links, entry)];
    while (*link != 0) {
        Item *item = &links->items[*link - 1];
        if (item->name != entry) {
            link = &item->next;
            continue;
        }
        uint32_t *found = index_find(parts, item->part);
        Item *part = &parts->items[*found - 1];
        part->known -= item->known;
        if (part->known <= 0) {
            index_remove(parts, found);
        }
        index_remove(links, link);
    }
    if (links->count == 0) {
        index_clear(links);
        index_clear(parts);
    }
}

Py_ssize_t
shares_note(Shares *shares, const void *entry, const void *name, Py_ssize_t seen)
{
    if (shares->links.count >= MOST) {
        return PY_SSIZE_T_MAX;
    }
    Item *link = index_add(&shares->links, entry);
    if (link == NULL) {
        return seen; /* Short of memory: nothing is known. */
    }
    link->part = name;
    link->known = seen;
    uint32_t *found = shares->parts.room ? index_find(&shares->parts, name) : NULL;
    Item *part = found != NULL && *found != 0 ? &shares->parts.items[*found - 1]
                                              : index_add(&shares->parts, name);
    if (part == NULL) {
        index_remove(&shares->links, index_find(&shares->links, entry));
        return seen;
    }
    part->known += seen;
    return part->known;
}
