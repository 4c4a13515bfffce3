/* What Python's allocator of small objects holds free.

   It takes arenas of 1 MiB from the kernel, cuts them into pools of 16 KiB, each for blocks of one size,
   and gives back whole arenas alone: one block that stays keeps a MiB. In a cache emptied by 97 %, 54 of
   61 MiB were pools without a block. The pages of such a pool but its first, which has its head, can go:
   a pool is set up anew where it serves another size than before, and the head is made to say so.

   Which memory is an arena's is not guessed: arenas are noted as they come and go, by a function of the
   C API made for it. (Memory for the frames of calls comes the same way, less at a time, and may go without
   the GIL.) What a head looks like is CPython's own affair (Objects/obmalloc.c, read for 3.11 to 3.13), so
   a pool is touched only where all parts of its head fit together. */

#include "pools.h"
#include <stdint.h>

#if defined(__linux__) && defined(WITH_PYMALLOC) && SIZEOF_VOID_P == 8 && !defined(Py_GIL_DISABLED)
#define POOLS 1
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif

#ifdef POOLS

#define ARENA ((size_t)1 << 20)
#define ARENAS (1 << 16) /* Beyond 64 GiB one keeps what it has. */
#define POOL ((size_t)1 << 14)
#define HEAD ((uint32_t)sizeof(Head))
#define SIZES 32
#define NO_SIZE 0xFFFFu /* what a pool that never served has for its size */
#define TURN 1000000    /* nanoseconds with the GIL held */
#define PAUSE 20000     /* and without */

typedef struct {
    union {
        void *padding;
        uint32_t count;
    } used;
    uintptr_t free, next, previous;
    uint32_t arena, size, fresh, last;
} Head;

typedef struct {
    uintptr_t at;
    size_t size;
} Arena;

/* Of the main interpreter, under its GIL. Who holds another one may look through them meanwhile, and finds
   none that is its own: so they never move, and the count is the last to change. */
static struct {
    PyObjectArenaAllocator under;
    Arena arenas[ARENAS];
    size_t count;
    int is_watching;
    pid_t process;
} watched;

static int
is_elsewhere(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyThreadState *state = PyThreadState_GetUnchecked();
#else
    PyThreadState *state = _PyThreadState_UncheckedGet();
#endif
    return state != NULL && PyThreadState_GetInterpreter(state) != PyInterpreterState_Main();
}

/* In a child, forget its parent's: to mark a head is to copy its page, and what is shared frees nothing. */
static void
begin(void)
{
    if (watched.process != getpid()) {
        watched.process = getpid();
        watched.count = 0;
    }
}

static void *
arena_new(void *context, size_t size)
{
    void *arena = watched.under.alloc(context, size);
    if (arena == NULL || size < ARENA || is_elsewhere()) {
        return arena;
    }
    begin();
    if (watched.count < ARENAS) {
        watched.arenas[watched.count] = (Arena){(uintptr_t)arena, size};
        __atomic_store_n(&watched.count, watched.count + 1, __ATOMIC_RELEASE);
    }
    return arena;
}

static void
arena_gone(void *context, void *arena, size_t size)
{
    /* An interpreter without a GIL of its own gives ours back too. The youngest are the first to go. */
    for (size_t at = size < ARENA ? 0 : __atomic_load_n(&watched.count, __ATOMIC_ACQUIRE); at-- > 0;) {
        if (watched.arenas[at].at == (uintptr_t)arena) {
            watched.arenas[at] = watched.arenas[watched.count - 1];
            __atomic_store_n(&watched.count, watched.count - 1, __ATOMIC_RELEASE);
            break;
        }
    }
    watched.under.free(context, arena, size);
}

PyObject *
pools_watch(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!watched.is_watching && page < POOL) {
        watched.is_watching = 1;
        PyObject_GetArenaAllocator(&watched.under);
        PyObjectArenaAllocator own = {watched.under.ctx, arena_new, arena_gone};
        PyObject_SetArenaAllocator(&own);
    }
    Py_RETURN_NONE;
}

/* Whether a pool holds no block, and has pages that may go. */
static int
is_free(const Head *head)
{
    if (head->used.count != 0 || head->size >= SIZES) {
        return 0;
    }
    uint32_t size = (head->size + 1) * 16;
    uintptr_t inside = head->free - (uintptr_t)head;
    return head->last == POOL - size && head->fresh >= HEAD + size && head->fresh <= POOL
           && (head->fresh - HEAD) % size == 0 && inside >= HEAD && inside <= head->last
           && (inside - HEAD) % size == 0;
}

static size_t
visit(Arena arena, size_t page, int goes)
{
    size_t found = 0;
    uintptr_t end = arena.at + arena.size;
    for (uintptr_t at = (arena.at + POOL - 1) & ~(POOL - 1); at + POOL <= end; at += POOL) {
        Head *head = (Head *)at;
        if (head->last == 0) { /* From here on none has ever served. */
            break;
        }
        if (!is_free(head)) {
            continue;
        }
        if (goes) {
            head->size = NO_SIZE;
            if (madvise((void *)(at + page), POOL - page, MADV_DONTNEED) != 0) {
                continue;
            }
        }
        found += POOL - page;
    }
    return found;
}

/* Forget all where another one allocates by now, since when they may have gone unseen. */
static void
doubt(void)
{
    PyObjectArenaAllocator now;
    PyObject_GetArenaAllocator(&now);
    if (now.free != arena_gone) {
        watched.count = 0;
    }
}

static int64_t
nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static PyObject *
visit_all(int goes)
{
    size_t found = 0, page = (size_t)sysconf(_SC_PAGESIZE);
    int64_t began = nanoseconds();
    begin();
    doubt();
    /* Arenas may come and go in a pause: one may be passed by then, none is visited that has gone. */
    for (size_t at = 0; at < watched.count; at++) {
        found += visit(watched.arenas[at], page, goes);
        if (at % 16 == 15 && nanoseconds() - began > TURN) {
            Py_BEGIN_ALLOW_THREADS /* Who waits must wake up first: else we are the next as well. */
            nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
            Py_END_ALLOW_THREADS
            doubt();
            began = nanoseconds();
        }
    }
    return PyLong_FromSize_t(found);
}

#else

PyObject *
pools_watch(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    Py_RETURN_NONE;
}

static PyObject *
visit_all(int goes)
{
    (void)goes;
    return PyLong_FromLong(0);
}

#endif

PyObject *
pools_free(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    return visit_all(0);
}

PyObject *
pools_trim(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    return visit_all(1);
}
