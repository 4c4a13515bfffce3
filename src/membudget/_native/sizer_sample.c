/* The walk through a sample of what an object refers to, where all of it is too much.

   Siblings form a level. One sibling is weighed with all below it before the next, and those the
   walk does not come to are taken to weigh as much as those it did, on average. A single large
   sibling must not stand for many small ones, so each gets only its share of the bound. The levels
   that are open lie in an array, so depth costs no stack. What is asked of functions of the
   program is answered between two walks over the same sample: which siblings are looked at depends
   on counts only, not on sizes. */

#include "sizer_walk.h"

/* Siblings looked at wherever a sample is taken. */
#define LEAST_SHARE 64

typedef struct {
    size_t start; /* of its siblings among the walk's parts */
    size_t next;
    size_t end;
    Py_ssize_t count; /* siblings in truth */
    Py_ssize_t done;
    double size;
} Level;

typedef struct {
    Walk *walk;
    Level *levels;
    size_t depth, level_room;
    Py_ssize_t left;
    double weighed;
    /* While siblings are gathered: */
    Py_ssize_t wanted, gathered;
    int counts_on; /* their number is not known without meeting them all */
} Sample;

static int
gather_one(Sample *sample, PyObject *item)
{
    Walk *walk = sample->walk;
    if (walk->part_count == walk->part_room
        && walk_grow(&walk->parts, &walk->part_room, sizeof(PyObject *)) < 0) {
        return walk_stop(walk, NO_MEMORY);
    }
    walk->parts[walk->part_count++] = item;
    return 0;
}

static int
gather(PyObject *item, void *arg)
{
    Sample *sample = arg;
    if (PyType_Check(item)) {
        return 0;
    }
    if (sample->gathered >= sample->wanted) {
        sample->gathered++;
        return !sample->counts_on;
    }
    sample->gathered++;
    return gather_one(sample, item);
}

static int
gather_lent(PyObject *item, void *arg)
{
    Walk *walk = ((Sample *)arg)->walk;
    if (PyType_Check(item) || is_immortal(item)) {
        return 0;
    }
    Node *node = walk_node(walk, item);
    if (node == NULL) {
        return walk_stop(walk, NO_MEMORY);
    }
    node->seen++;
    node->flags |= LENT;
    walk->has_lent = 1;
    return 0;
}

/* Opens the level of what an object refers to; its siblings are spread over a long sequence. */
static int
open_level(Sample *sample, PyObject *item, const Type *type, Py_ssize_t wanted)
{
    Walk *walk = sample->walk;
    size_t start = walk->part_count;
    Py_ssize_t count = length_of(item, type);
    if ((type->kind == KIND_LIST || type->kind == KIND_TUPLE) && count > wanted) {
        PyObject **items = type->kind == KIND_LIST ? ((PyListObject *)item)->ob_item
                                                   : ((PyTupleObject *)item)->ob_item;
        Py_ssize_t stride = (count + wanted - 1) / wanted;
        for (Py_ssize_t at = 0; at < count; at += stride) {
            if (items[at] != NULL && gather_one(sample, items[at])) {
                return -1;
            }
        }
    }
    else {
        sample->wanted = wanted;
        sample->gathered = 0;
        sample->counts_on = count < 0;
        expand(item, type, gather, gather_lent, sample);
        if (walk->stop != GOES_ON) {
            return -1;
        }
        if (count < sample->gathered) {
            count = sample->gathered;
        }
    }
    if (walk->part_count == start) {
        return 0;
    }
    if (sample->depth == sample->level_room
        && walk_grow(&sample->levels, &sample->level_room, sizeof(Level)) < 0) {
        walk_stop(walk, NO_MEMORY);
        return -1;
    }
    sample->levels[sample->depth++] =
        (Level){.start = start, .next = start, .end = walk->part_count, .count = count};
    return 1;
}

/* Weighs a sibling; 1 where a level was opened below it, 0 where not, -1 where the walk stops. */
static int
weigh_one(Sample *sample, PyObject *item, int is_lent)
{
    Walk *walk = sample->walk;
    Level *level = &sample->levels[sample->depth - 1];
    if (is_immortal(item)) {
        return 0;
    }
    Py_ssize_t own = atom_bytes(item);
    if (own == 0) {
        return 0;
    }
    const Type *type = NULL;
    if (own < 0) {
        type = type_known(Py_TYPE(item));
        if (type == NULL) {
            walk->unknown = Py_TYPE(item);
            walk_stop(walk, NEW_TYPE);
            return -1;
        }
        if (type->kind == KIND_SHARED) {
            return 0;
        }
    }
    int is_asked = type != NULL && type->ask != NULL;
    if (Py_REFCNT(item) > 1 || is_asked || is_lent) {
        Node *node = walk_node(walk, item);
        if (node == NULL) {
            walk_stop(walk, NO_MEMORY);
            return -1;
        }
        node->seen += !is_lent; /* What was lent has been counted. */
        if (own > 0 && !is_lent && may_be_borrowed(item)) {
            node->own = own;
            node->flags |= WORDED;
            walk->has_words = 1;
            return 0;
        }
        if (node->flags & FOUND) {
            return 0;
        }
        node->flags |= FOUND;
        if (is_asked) {
            own = walk_asked(walk, node, type);
        }
    }
    if (type != NULL && !is_asked) {
        own = own_bytes(item, type);
    }
    level->size += (double)own;
    sample->weighed += (double)own;
    if (type == NULL) {
        return 0;
    }
    Py_ssize_t wanted = sample->left / (level->count - level->done + 1);
    return open_level(sample, item, type, wanted < LEAST_SHARE ? LEAST_SHARE : wanted);
}

/* The estimate for the level that was opened last and all below it; below 0 where the walk
   stops. */
static double
descend(Sample *sample, int is_lent)
{
    Walk *walk = sample->walk;
    size_t floor = sample->depth;
    for (;;) {
        Level *level = &sample->levels[sample->depth - 1];
        if (sample->left > 0 && level->next < level->end) {
            sample->left--;
            level->done++;
            PyObject *item = walk->parts[level->next++];
            if (weigh_one(sample, item, is_lent && sample->depth == floor) < 0) {
                return -1;
            }
            continue;
        }
        double total = level->done ? level->size * (double)level->count / (double)level->done : 0;
        walk->part_count = level->start;
        if (sample->depth-- == floor) {
            return total;
        }
        sample->levels[sample->depth - 1].size += total;
    }
}

/* Bytes of the short strings that nobody outside refers to; they are forgotten then. */
static double
take_words(Walk *walk)
{
    double size = 0;
    for (size_t at = 0; at < walk->node_count && walk->has_words; at++) {
        Node *node = &walk->nodes[at];
        if ((node->flags & (WORDED | COUNTED)) == WORDED) {
            node->flags |= COUNTED;
            if (references(node) - (Py_ssize_t)node->seen <= 1) {
                size += (double)node->own;
            }
        }
    }
    walk->has_words = 0;
    return size;
}

/* Opens a level of what was lent and nobody outside holds; as open_level(). */
static int
open_lent(Sample *sample)
{
    Walk *walk = sample->walk;
    size_t start = walk->part_count;
    for (size_t at = 0; at < walk->node_count && walk->has_lent; at++) {
        Node *node = &walk->nodes[at];
        if ((node->flags & (LENT | COUNTED | FOUND)) == LENT
            && references(node) <= (Py_ssize_t)node->seen) {
            node->flags |= COUNTED;
            if (gather_one(sample, node->item)) {
                return -1;
            }
        }
    }
    Py_ssize_t count = (Py_ssize_t)(walk->part_count - start);
    if (count == 0) {
        return 0;
    }
    sample->levels[sample->depth++] = /* There was one before, so there is room. */
        (Level){.start = start, .next = start, .end = walk->part_count, .count = count};
    return 1;
}

void
sample(Walk *walk, PyObject *const *roots, Py_ssize_t count)
{
    Sample sample = {.walk = walk, .left = walk->limit};
    if (walk_grow(&sample.levels, &sample.level_room, sizeof(Level)) < 0) {
        walk_stop(walk, NO_MEMORY);
        return;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        if (gather_one(&sample, roots[at])) {
            goto done;
        }
    }
    sample.levels[sample.depth++] = (Level){.end = walk->part_count, .count = count};
    double size = descend(&sample, 0);
    if (walk->stop != GOES_ON) {
        goto done;
    }
    /* What was borrowed is taken to stand in the same proportion where nobody looked. */
    double scale = sample.weighed > 0 ? size / sample.weighed : 1.0;
    size += take_words(walk) * scale;
    int opened;
    while ((opened = open_lent(&sample)) > 0) {
        double lent = descend(&sample, 1);
        if (walk->stop != GOES_ON) {
            goto done;
        }
        size += (lent + take_words(walk)) * scale;
    }
    walk->total = size;
done:
    walk->looked = walk->limit - sample.left;
    PyMem_Free(sample.levels);
}
