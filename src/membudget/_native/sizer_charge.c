/* What an eviction would free: the sum that a table charges an entry.

   Trial deletion, as the garbage collector does it (Bacon and Rajan, ECOOP 2001; CPython's
   Modules/gcmodule.c): the walk counts how often it met each part, and a part with more references
   than that is held by somebody else. Parts up to 64 bytes, mostly strings, are charged in the
   proportion of the references that were met. Of larger ones the table's shares tell whether the
   others are its own entries: if all are, each pays its portion; if not, the part is charged to
   nobody, nor is what only it leads to. The roots, key and value, are always charged.

   Most values hold no part that others hold and that leads further: then one pass is enough, less
   what is not charged. Else a second pass adds up what is reached without the parts held, those
   of which a portion is charged after the others. */

#include "sizer_walk.h"

/* What portion of a part with more references than were met is charged. */
static float
portion(Walk *walk, const Node *node, Shares *shares, const void *entry)
{
    Py_ssize_t held = references(node), seen = node->seen;
    if (node->own > SMALL_PART) {
        Py_ssize_t known = seen;
        if (shares != NULL) {
            known = shares_note(shares, entry, node->item, seen);
            walk->links++;
        }
        if (known < held) {
            walk->withheld = 1;
            return 0.0f;
        }
    }
    return (float)seen / (float)held;
}

/* Sees who else holds the parts; whether any that leads further is held. */
static int
see_others(Walk *walk, Shares *shares, const void *entry)
{
    int leads_further = 0;
    for (size_t at = 0; at < walk->node_count; at++) {
        Node *node = &walk->nodes[at];
        if ((node->flags & ROOT) || references(node) <= (Py_ssize_t)node->seen) {
            continue;
        }
        node->share = portion(walk, node, shares, entry);
        walk->total -= (double)node->own * (1.0 - (double)node->share);
        leads_further |= !(node->flags & LEAF);
    }
    return leads_further;
}

/* Second pass: adds up what is reached without the parts that others hold. */
static int
meet_again(PyObject *item, void *arg)
{
    Walk *walk = arg;
    if (PyType_Check(item) || is_immortal(item)) {
        return 0;
    }
    Py_ssize_t own = atom_bytes(item);
    const Type *type = own >= 0 ? NULL : type_known(Py_TYPE(item));
    if (own == 0 || (own < 0 && (type == NULL || type->kind == KIND_SHARED))) {
        return 0;
    }
    if (Py_REFCNT(item) == 1 && (type == NULL || type->ask == NULL)) {
        walk->total += walk->factor * (double)(type == NULL ? own : own_bytes(item, type));
        return type == NULL ? 0 : walk_push(walk, item, type);
    }
    Node *node = walk_node(walk, item);
    if (node == NULL) {
        return walk_stop(walk, NO_MEMORY);
    }
    if (node->flags & (COUNTED | REACHED)) {
        return 0;
    }
    node->share *= (float)walk->factor;
    if (node->share < walk->factor && !(node->flags & LEAF)) {
        node->flags |= REACHED; /* What only it leads to is charged like it: that comes later. */
        return 0;
    }
    node->flags |= COUNTED;
    walk->total += (double)node->share * (double)node->own;
    return node->flags & LEAF ? 0 : walk_push(walk, item, type);
}

static int
follow_again(Walk *walk)
{
    while (walk->step_next < walk->step_count) {
        Step step = walk->steps[walk->step_next++];
        if (expand(step.item, step.type, meet_again, meet_again, walk)) {
            return 1;
        }
    }
    return 0;
}

/* Enters one part after the other of which a portion is charged; whether there was any. */
static int
enter_portions(Walk *walk)
{
    int entered = 0;
    for (size_t at = 0; at < walk->node_count; at++) {
        Node *node = &walk->nodes[at];
        if ((node->flags & (REACHED | COUNTED)) == REACHED) {
            node->flags |= COUNTED;
            if (node->share > 0.0f) {
                walk->factor = (double)node->share;
                walk->total += walk->factor * (double)node->own;
                if (walk_push(walk, node->item, type_known(Py_TYPE(node->item)))
                    || follow_again(walk)) {
                    return 0;
                }
                entered = 1;
            }
        }
    }
    return entered;
}

void
charge(Walk *walk, PyObject *const *roots, Py_ssize_t count, Shares *shares, const void *entry)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        Node *node = walk_node(walk, roots[at]);
        if (node == NULL) {
            walk_stop(walk, NO_MEMORY);
            return;
        }
        node->flags |= ROOT;
        if (walk_meet_exclusive(roots[at], walk)) {
            return;
        }
    }
    if (walk_follow(walk, walk_meet_exclusive, walk_meet_exclusive) || walk->answered < walk->asked_count) {
        return;
    }
    shares_forget(shares, entry);
    if (!see_others(walk, shares, entry)) {
        return;
    }
    walk->total = 0;
    walk->step_next = walk->step_count = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (meet_again(roots[at], walk)) {
            return;
        }
    }
    if (follow_again(walk)) {
        return;
    }
    while (enter_portions(walk)) {
    }
}
