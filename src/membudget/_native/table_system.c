/* What the table takes from the system: memory, time, and turns for other threads.

   Large blocks come from the system page by page and go back to it at once; malloc would keep them,
   or cut them up for others. Pages of such a block that were never written take no memory. */

#include "table.h"
#include <time.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#endif

#define LINE ((size_t)64)
#define SLICE 0.001
#define PIECE ((size_t)4 << 20)
#define MAPPED ((size_t)128 << 10) /* from so many bytes on */

void *
block_new(size_t bytes)
{
#if !defined(_WIN32)
    if (bytes >= MAPPED) {
        void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return block == MAP_FAILED ? NULL : block;
    }
#else
    if (bytes >= MAPPED) {
        return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    }
#endif
    /* Aligned to a cache line; how far it was moved stands before it. */
    unsigned char *memory = PyMem_RawCalloc(1, bytes + LINE);
    if (memory == NULL) {
        return NULL;
    }
    size_t shift = LINE - ((uintptr_t)memory & (LINE - 1));
    memory[shift - 1] = (unsigned char)shift;
    return memory + shift;
}

void
block_free(void *block, size_t bytes)
{
    if (block == NULL) {
        return;
    }
    if (bytes >= MAPPED) {
#if !defined(_WIN32)
        /* In pieces: meanwhile no other thread of the process can get memory from the system. */
        for (size_t at = 0; at < bytes; at += PIECE) {
            munmap((char *)block + at, bytes - at < PIECE ? bytes - at : PIECE);
        }
#else
        VirtualFree(block, 0, MEM_RELEASE);
#endif
        return;
    }
    unsigned char *memory = block;
    PyMem_RawFree(memory - memory[-1]);
}

void
block_forget(void *block, size_t bytes)
{
#if defined(__linux__)
    const uintptr_t page = 4096;
    uintptr_t from = ((uintptr_t)block + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)block + bytes) & ~(page - 1);
    if (to > from) {
        madvise((void *)from, to - from, MADV_DONTNEED);
    }
#else
    (void)block;
    (void)bytes;
#endif
}

double
clock_precise(void)
{
#if defined(__APPLE__)
    /* Stands still while the machine sleeps, as time.monotonic does. */
    return 1e-9 * (double)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#elif defined(_WIN32)
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t now;
    (void)PyTime_MonotonicRaw(&now);
    return PyTime_AsSecondsDouble(now);
#else
    return 1e-3 * (double)GetTickCount64();
#endif
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

double
clock_coarse(void)
{
#if defined(CLOCK_MONOTONIC_COARSE)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#else
    return clock_precise();
#endif
}

/* A thread that waits for the GIL is woken when it is released, and waits anew where it comes too late;
   only a wait that lasts undisturbed makes the interpreter hand it over. So a release without a nap,
   once a millisecond, would keep all others out for as long as it goes on. */
static void
let_others_run(void)
{
    Py_BEGIN_ALLOW_THREADS
#if defined(_WIN32)
    SwitchToThread();
#else
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
#endif
    Py_END_ALLOW_THREADS
}

void
slice_begin(Slice *slice)
{
    slice->since = clock_precise();
}

void
slice_check(Slice *slice)
{
    if (clock_precise() - slice->since >= SLICE) {
        let_others_run();
        slice->since = clock_precise();
    }
}
