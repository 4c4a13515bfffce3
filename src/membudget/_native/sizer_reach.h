/* In which MiB of the address space an entry's small parts lie. */

#ifndef MEMBUDGET_SIZER_REACH_H
#define MEMBUDGET_SIZER_REACH_H

#include "sizer.h"

#define PLACES_OF_ENTRY 16

typedef struct {
    size_t places[PLACES_OF_ENTRY]; /* that of most parts is the first */
    int parts[PLACES_OF_ENTRY];
    int count;
} Reach;

/* Runs no Python code. */
void sizer_reach(PyObject *key, PyObject *value, Reach *reach);

#endif
