/* A walk and what it remembers; for the files that walk. */

#ifndef MEMBUDGET_SIZER_WALK_H
#define MEMBUDGET_SIZER_WALK_H

#include "sizer_inside.h"

/* An object that was met and that more than one reference leads to. */
typedef struct {
    PyObject *item;
    Py_ssize_t own;
    uint32_t seen; /* references to it met so far */
    uint8_t flags;
    float share;   /* of it that is charged */
} Node;

enum {
    FOUND = 1,   /* weighed */
    ROOT = 2,
    WORDED = 4,  /* a short str that may be borrowed */
    LENT = 8,    /* met through a view */
    LEAF = 16,   /* refers to nothing */
    COUNTED = 32, /* summed up in the second pass */
    HELD = 64,   /* a reference to it is ours */
    REACHED = 128 /* in the second pass; waits to be entered */
};

typedef struct {
    PyObject *item;
    const Type *type;
} Step;

/* An object that a function of the program is asked about, and its answer. */
typedef struct {
    PyObject *item;
    PyObject *ask;
    Py_ssize_t bytes;
} Asked;

typedef enum { GOES_ON, OVER, NEW_TYPE, NO_MEMORY } Stop;

/* What a link to a part costs the table that notes it. */
#define LINK_BYTES 44

typedef struct Walk {
    Node *nodes;
    size_t node_count, node_room;
    uint32_t *slots; /* 1 + index of a node; 0 where free */
    unsigned bits, slot_room_bits;
    Step *steps;
    size_t step_next, step_count, step_room;
    PyObject **parts; /* of a sample: siblings, level upon level */
    size_t part_count, part_room;
    Asked *asked; /* the first `answered` are sorted by address */
    size_t asked_count, asked_room, answered;
    Py_ssize_t looked, limit;
    double total;
    double factor;
    PyTypeObject *unknown;
    Stop stop;
    int has_words, has_lent, withheld, links;
} Walk;

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* The node of an object, made if there was none; NULL where memory is short. */
Node *walk_node(Walk *walk, PyObject *item);
/* Own bytes of an object of KIND_ASKED or KIND_FOREIGN; remembers it where nobody has asked yet. */
Py_ssize_t walk_asked(Walk *walk, Node *node, const Type *type);
/* Puts an object among those to be expanded; 0, or 1 where the walk stops. */
int walk_push(Walk *walk, PyObject *item, const Type *type);
/* Meets a reference and counts it; as a visitproc. */
int walk_meet_exclusive(PyObject *item, void *walk);
/* Expands what is to be expanded and what that leads to; 0, or 1 where the walk stops. */
int walk_follow(Walk *walk, visitproc visit, visitproc lend);
/* For a walk that must stop: always 1. */
int walk_stop(Walk *walk, Stop why);
void walk_reset(Walk *walk, Py_ssize_t limit);
/* Doubles an array of `size`-byte elements; 0, or -1 where memory is short. */
int walk_grow(void *array, size_t *room, size_t size);

/* sizer_charge.c: the walk that finds what dropping the roots would free. */
void charge(Walk *walk, PyObject *const *roots, Py_ssize_t count, Shares *shares,
            const void *entry);

/* sizer_sample.c: the walk through a sample; leaves what it found in `total` and `looked`. */
void sample(Walk *walk, PyObject *const *roots, Py_ssize_t count);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

/* References to a node's object other than our own. */
static inline Py_ssize_t
references(const Node *node)
{
    return Py_REFCNT(node->item) - ((node->flags & HELD) != 0);
}

/* Whether a str is short enough, and held often enough, to be borrowed. One owner outside is let
   pass: it is as often the caller's own list as it is a constant. */
static inline int
may_be_borrowed(PyObject *item)
{
    return PyUnicode_CheckExact(item) && Py_REFCNT(item) > 2 && PyUnicode_GET_LENGTH(item) <= WORD;
}

#endif
