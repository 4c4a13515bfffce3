/* The walk through all that an object refers to, and the sum of all that it meets.

   The walk is breadth first over an array, so a chain of any length needs no stack. It takes no
   references and runs no Python code: while it lasts nothing can change. An object with a single
   reference can be met only once and is not remembered; the others are, in a hash table by address
   that also counts how often each was met. Most parts of a parsed document have one owner, so most
   cost a few reads and no look-up.

   DEEP is what `size_of` tells: each object once, in full; short strings and the arrays behind
   views only where nobody outside refers to them, by the reference count.

   EXCLUSIVE, what an eviction would free, is sizer_charge.c's.

   Types that are new, and objects that functions of the program are asked about, are noted; the
   walk ends, Python code runs, and the walk begins again with what is known then. */

#include "sizer_walk.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BITS 8      /* slots of a walk at its start: 1 KiB to clear */
#define KEPT_NODES 4096   /* a walk with more room than this is not kept for the next */
/* What a sum comes to at most: functions of the program may say anything, and more is added to it. */
#define MOST_BYTES (PY_SSIZE_T_MAX / 2)
#define MOST_QUESTIONS 4  /* rounds of asking; what turns up after that weighs nothing */

/* Walks that are not in use; one is enough unless a function that is asked weighs in turn. */
static Walk *spare;

int
walk_stop(Walk *walk, Stop why)
{
    walk->stop = why;
    return 1;
}

int
walk_grow(void *array, size_t *room, size_t size)
{
    size_t more = *room ? 2 * *room : 64;
    void *grown = PyMem_Realloc(*(void **)array, more * size);
    if (grown == NULL) {
        return -1;
    }
    *(void **)array = grown;
    *room = more;
    return 0;
}

static inline size_t
slot_of(const Walk *walk, const PyObject *item)
{
    return (size_t)(((uint64_t)((uintptr_t)item >> 4) * 0x9E3779B97F4A7C15u) >> (64 - walk->bits));
}

static int
use_slots(Walk *walk, unsigned bits)
{
    if (bits > walk->slot_room_bits) {
        uint32_t *slots = PyMem_Realloc(walk->slots, sizeof(uint32_t) << bits);
        if (slots == NULL) {
            return -1;
        }
        walk->slots = slots;
        walk->slot_room_bits = bits;
    }
    walk->bits = bits;
    memset(walk->slots, 0, sizeof(uint32_t) << bits);
    size_t mask = ((size_t)1 << bits) - 1;
    for (size_t at = 0; at < walk->node_count; at++) {
        size_t slot = slot_of(walk, walk->nodes[at].item);
        while (walk->slots[slot] != 0) {
            slot = (slot + 1) & mask;
        }
        walk->slots[slot] = (uint32_t)at + 1;
    }
    return 0;
}

Node *
walk_node(Walk *walk, PyObject *item)
{
    size_t mask = ((size_t)1 << walk->bits) - 1;
    size_t slot = slot_of(walk, item);
    for (uint32_t at; (at = walk->slots[slot]) != 0; slot = (slot + 1) & mask) {
        if (walk->nodes[at - 1].item == item) {
            return &walk->nodes[at - 1];
        }
    }
    if (walk->node_count == walk->node_room
        && walk_grow(&walk->nodes, &walk->node_room, sizeof(Node)) < 0) {
        return NULL;
    }
    Node *node = &walk->nodes[walk->node_count++];
    *node = (Node){.item = item, .share = 1.0f};
    walk->slots[slot] = (uint32_t)walk->node_count;
    if (2 * walk->node_count > mask + 1 && use_slots(walk, walk->bits + 1) < 0) {
        walk->slots[slot] = 0;
        walk->node_count--;
        return NULL;
    }
    return node;
}

void
walk_reset(Walk *walk, Py_ssize_t limit)
{
    walk->node_count = 0;
    walk->bits = FIRST_BITS;
    memset(walk->slots, 0, sizeof(uint32_t) << FIRST_BITS);
    walk->step_next = walk->step_count = walk->part_count = 0;
    walk->looked = 0;
    walk->limit = limit;
    walk->total = 0;
    walk->factor = 1;
    walk->stop = GOES_ON;
    walk->has_words = walk->has_lent = walk->withheld = walk->links = 0;
}

int
walk_push(Walk *walk, PyObject *item, const Type *type)
{
    if (walk->step_count == walk->step_room
        && walk_grow(&walk->steps, &walk->step_room, sizeof(Step)) < 0) {
        return walk_stop(walk, NO_MEMORY);
    }
    walk->steps[walk->step_count++] = (Step){item, type};
    return 0;
}

/* Questions */

static int
by_address(const void *one, const void *other)
{
    uintptr_t first = (uintptr_t)((const Asked *)one)->item;
    uintptr_t second = (uintptr_t)((const Asked *)other)->item;
    return (first > second) - (first < second);
}

Py_ssize_t
walk_asked(Walk *walk, Node *node, const Type *type)
{
    Py_ssize_t own = own_bytes(node->item, type);
    Asked sought = {.item = node->item};
    const Asked *found = walk->answered == 0 ? NULL
                                             : bsearch(&sought, walk->asked, walk->answered,
                                                       sizeof(Asked), by_address);
    if (found != NULL) {
        node->flags |= HELD;
        return type->kind == KIND_ASKED ? found->bytes : found->bytes > own ? found->bytes : own;
    }
    if (walk->asked_count == walk->asked_room
        && walk_grow(&walk->asked, &walk->asked_room, sizeof(Asked)) < 0) {
        return own; /* It stays without an answer. */
    }
    node->flags |= HELD;
    walk->asked[walk->asked_count++] =
        (Asked){Py_NewRef(node->item), Py_NewRef(type->ask), 0};
    return own;
}

/* Asks what was not asked yet. */
static int
ask_all(Walk *walk)
{
    for (; walk->answered < walk->asked_count; walk->answered++) {
        size_t at = walk->answered;
        PyObject *answer = PyObject_CallOneArg(walk->asked[at].ask, walk->asked[at].item);
        if (answer == NULL) {
            return -1;
        }
        walk->asked[at].bytes = PyLong_AsSsize_t(answer);
        drop(answer);
        if (walk->asked[at].bytes == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    qsort(walk->asked, walk->asked_count, sizeof(Asked), by_address);
    return 0;
}

/* First pass */

static inline int
is_leaf(PyObject *item, const Type *type)
{
    if (type->kind == KIND_ASKED || (type->kind >= KIND_LIST && length_of(item, type) == 0)) {
        return 1;
    }
    return type->type->tp_traverse == NULL && (type->kind != KIND_ARRAY || array_is_plain(item));
}

/* Meets an object that more than one reference may lead to. */
static int
meet_node(Walk *walk, PyObject *item, const Type *type, Py_ssize_t own, int is_lent)
{
    Node *node = walk_node(walk, item);
    if (node == NULL) {
        return walk_stop(walk, NO_MEMORY);
    }
    node->seen++;
    if (node->flags & (FOUND | WORDED)) {
        return 0;
    }
    if (is_lent) {
        node->flags |= LENT;
        walk->has_lent = 1;
        return 0;
    }
    if (type == NULL) {
        node->own = own;
        node->flags |= LEAF;
    }
    else {
        node->own = type->ask == NULL ? own_bytes(item, type) : walk_asked(walk, node, type);
        if (is_leaf(item, type)) {
            node->flags |= LEAF;
        }
    }
    node->flags |= FOUND;
    walk->total += (double)node->own;
    return node->flags & LEAF ? 0 : walk_push(walk, item, type);
}

static inline int
meet(Walk *walk, PyObject *item, int rule, int is_lent)
{
    if (PyType_Check(item)) {
        return 0;
    }
    if (++walk->looked > walk->limit) {
        return walk_stop(walk, OVER);
    }
    if (is_immortal(item)) {
        return 0;
    }
    Py_ssize_t own = atom_bytes(item);
    if (own == 0) {
        return 0;
    }
    if (own > 0) {
        if (Py_REFCNT(item) == 1 && !is_lent) {
            walk->total += (double)own;
            return 0;
        }
        if (rule == DEEP && !is_lent && may_be_borrowed(item)) {
            Node *node = walk_node(walk, item);
            if (node == NULL) {
                return walk_stop(walk, NO_MEMORY);
            }
            node->seen++;
            node->own = own;
            node->flags |= WORDED;
            walk->has_words = 1;
            return 0;
        }
        return meet_node(walk, item, NULL, own, is_lent);
    }
    const Type *type = type_known(Py_TYPE(item));
    if (type == NULL) {
        walk->unknown = Py_TYPE(item);
        return walk_stop(walk, NEW_TYPE);
    }
    if (type->kind == KIND_SHARED) {
        return 0;
    }
    if (Py_REFCNT(item) == 1 && type->ask == NULL && !is_lent) {
        walk->total += (double)own_bytes(item, type);
        return walk_push(walk, item, type);
    }
    return meet_node(walk, item, type, 0, is_lent);
}

static int
meet_deep(PyObject *item, void *walk)
{
    return meet(walk, item, DEEP, 0);
}

static int
meet_lent(PyObject *item, void *walk)
{
    return meet(walk, item, DEEP, 1);
}

int
walk_meet_exclusive(PyObject *item, void *walk)
{
    return meet(walk, item, EXCLUSIVE, 0);
}

int
walk_follow(Walk *walk, visitproc visit, visitproc lend)
{
    while (walk->step_next < walk->step_count) {
        Step step = walk->steps[walk->step_next++];
        Py_ssize_t length = length_of(step.item, step.type);
        if (length > walk->limit - walk->looked) {
            return walk_stop(walk, OVER);
        }
        if (expand(step.item, step.type, visit, lend, walk)) {
            return 1;
        }
    }
    return 0;
}

/* DEEP */

/* Enters what was lent and is held by nobody outside; whether there was any. */
static int
enter_lent(Walk *walk)
{
    int entered = 0;
    for (size_t at = 0; at < walk->node_count; at++) {
        Node *node = &walk->nodes[at];
        if ((node->flags & (LENT | FOUND)) == LENT && references(node) <= (Py_ssize_t)node->seen) {
            node->seen--; /* It is met once more. */
            node->flags &= (uint8_t)~LENT;
            walk->looked--;
            entered = 1;
            if (meet_node(walk, node->item, type_known(Py_TYPE(node->item)),
                          atom_bytes(node->item), 0)) {
                return 0;
            }
        }
    }
    return entered;
}

static void
walk_deep(Walk *walk, PyObject *const *roots, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        if (meet_deep(roots[at], walk)) {
            return;
        }
    }
    do {
        if (walk_follow(walk, meet_deep, meet_lent)) {
            return;
        }
    } while (walk->has_lent && enter_lent(walk) && walk->stop == GOES_ON);
    if (!walk->has_words || walk->stop != GOES_ON) {
        return;
    }
    for (size_t at = 0; at < walk->node_count; at++) {
        const Node *node = &walk->nodes[at];
        if ((node->flags & WORDED) && references(node) - (Py_ssize_t)node->seen <= 1) {
            walk->total += (double)node->own;
        }
    }
}

/* Walks */

static void
walk_free(Walk *walk)
{
    if (walk != NULL) {
        PyMem_Free(walk->nodes);
        PyMem_Free(walk->slots);
        PyMem_Free(walk->steps);
        PyMem_Free(walk->parts);
        PyMem_Free(walk->asked);
        PyMem_Free(walk);
    }
}

static Walk *
walk_take(void)
{
    Walk *walk = spare;
    spare = NULL;
    if (walk == NULL) {
        walk = PyMem_Calloc(1, sizeof(Walk));
        if (walk == NULL || use_slots(walk, FIRST_BITS) < 0) {
            walk_free(walk);
            PyErr_NoMemory();
            return NULL;
        }
    }
    return walk;
}

static void
walk_give(Walk *walk)
{
    /* Finalizers may run with these references, and weigh something: the walk is still taken. */
    for (size_t at = 0; at < walk->asked_count; at++) {
        drop(walk->asked[at].item);
        drop(walk->asked[at].ask);
    }
    walk->asked_count = walk->answered = 0;
    if (spare != NULL || walk->node_room > KEPT_NODES || walk->step_room > KEPT_NODES
        || walk->part_room > KEPT_NODES || walk->asked_room > KEPT_NODES) {
        walk_free(walk);
        return;
    }
    spare = walk;
}

/* Drops the questions of a walk that is done anew before they were asked: it notes them once more, and
   held twice their objects would seem to be held by somebody else. */
static void
drop_questions(Walk *walk)
{
    while (walk->asked_count > walk->answered) {
        Asked asked = walk->asked[--walk->asked_count];
        Py_DECREF(asked.item);
        Py_DECREF(asked.ask);
    }
}

/* Runs the Python code that a walk asked for; 1 to walk again, 0 where there was none, -1 with an
   exception. */
static int
settle(Walk *walk, int round)
{
    if (walk->stop == NEW_TYPE) {
        PyObject *type = Py_NewRef((PyObject *)walk->unknown);
        drop_questions(walk);
        int failed = type_resolve((PyTypeObject *)type);
        drop(type);
        return failed < 0 ? -1 : 1;
    }
    if (walk->stop == NO_MEMORY) {
        PyErr_NoMemory();
        return -1;
    }
    if (walk->answered < walk->asked_count && round < MOST_QUESTIONS) {
        return ask_all(walk) < 0 ? -1 : 1;
    }
    return 0;
}

int
weigh(PyObject *const *roots, Py_ssize_t count, Py_ssize_t nodes, int rule, Shares *shares,
      const void *entry, Weight *weight)
{
    types_tidy();
    Walk *walk = walk_take();
    if (walk == NULL) {
        return -1;
    }
    int round = 0, again, exact = 1;
    do {
        walk_reset(walk, nodes);
        if (!exact) {
            sample(walk, roots, count);
        }
        else if (rule == DEEP) {
            walk_deep(walk, roots, count);
        }
        else {
            charge(walk, roots, count, shares, entry);
        }
        if (walk->stop == OVER) {
            shares_forget(shares, entry); /* A sample does not tell what it shares. */
            drop_questions(walk);
            exact = 0;
            again = 1;
            continue;
        }
        size_t asked = walk->answered;
        again = settle(walk, round);
        round += walk->answered > asked;
    } while (again > 0);
    walk->total += (double)walk->links * LINK_BYTES;
    *weight = (Weight){.bytes = walk->total < (double)MOST_BYTES ? (Py_ssize_t)(walk->total + 0.5)
                                                                 : MOST_BYTES,
                       .nodes = walk->looked,
                       .exact = exact,
                       .withheld = walk->withheld,
                       .noted = walk->links > 0};
    walk_give(walk);
    return again;
}
