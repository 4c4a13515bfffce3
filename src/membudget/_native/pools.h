/* Python's own allocator of small objects: pages that it holds free, given back to the kernel. */

#ifndef MEMBUDGET_POOLS_H
#define MEMBUDGET_POOLS_H

#include <Python.h>

/* From now on, note which arenas there are; a second call changes nothing. */
PyObject *pools_watch(PyObject *module, PyObject *nothing);
/* Bytes that `pools_trim` would give back, of arenas noted; and that: the bytes it gave back. Both hold
   the GIL for about a millisecond at a time. Cost: 6 µs for each MiB, and 2 µs for each pool to go. */
PyObject *pools_free(PyObject *module, PyObject *nothing);
PyObject *pools_trim(PyObject *module, PyObject *nothing);

#endif
