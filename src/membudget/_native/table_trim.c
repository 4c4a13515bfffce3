/* Giving back the holes that evicted values leave in malloc's heap.

   Victims chosen by worth lie scattered, and malloc keeps what it gets back below a value that still
   stands: a cache of arrays took 1.23 times its bound, with this 1.05. Blocks of half a kilobyte and
   less are the interpreter's own and lie elsewhere; holes below a page cannot be given back.

   Paced by what it costs: a walk of all free blocks, a millisecond for every ten megabytes freed,
   under the lock of the heap it is at. */

#include "table.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define SHARE_OF_BOUND 10
#define MOST_OF_TIME 0.25
#define MOST_SECONDS 0.010 /* Others may wait for the heap's lock. */
#define LONGEST_APART ((int64_t)1 << 50)

static int64_t
least_apart(const Table *table)
{
    int64_t apart = table->max_bytes / SHARE_OF_BOUND;
    return apart > LEAST_APART ? apart : LEAST_APART;
}

void
trim_paced(Table *table)
{
    Trimming *trimming = &table->trimming;
    trimming->gone = 0; /* First: another thread may set meanwhile. */
#ifdef __GLIBC__
    double began = clock_precise();
    Py_BEGIN_ALLOW_THREADS
    malloc_trim(0);
    Py_END_ALLOW_THREADS
    double ended = clock_precise(), took = ended - began;
    int is_dear = took > MOST_SECONDS || took > MOST_OF_TIME * (ended - trimming->at);
    int64_t least = least_apart(table), apart = is_dear ? trimming->apart * 2 : trimming->apart / 2;
    trimming->apart = apart < least ? least : apart > LONGEST_APART ? LONGEST_APART : apart;
    trimming->at = ended;
#else
    trimming->apart = LONGEST_APART;
#endif
}
