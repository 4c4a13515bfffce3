/* The index's buckets, and what is so short that it stands where it is used.

   A bucket is one cache line: eight tags beside eight numbers, so that one look compares all eight
   tags, without a branch for each. A key stands in the first bucket from its home on that had room:
   all buckets from its home to there are full. */

#ifndef MEMBUDGET_TABLE_INDEX_H
#define MEMBUDGET_TABLE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

/* An entry's number: its chunk and its place there. */
typedef uint32_t Id;

#define BUCKET 8
#define INDEX_LOAD 11 /* Sixteenths of all places. */

typedef struct {
    uint32_t tags[BUCKET]; /* 0 for empty */
    Id ids[BUCKET];
} Bucket;

typedef struct {
    Bucket *buckets;
    size_t mask;
    Bucket *old;       /* what is still to be moved over, a piece at each set; or NULL */
    size_t old_mask;
    size_t old_first;  /* the bucket that was moved first: what is before it comes last */
    size_t old_at;     /* the next bucket to move */
    size_t old_left;   /* buckets to look at */
} Index;

/* A bit for each place of the bucket that has this tag; for those that are empty with tag 0. */
static inline uint32_t
places_with(const Bucket *bucket, uint32_t tag)
{
#if defined(__SSE2__) || defined(_M_X64)
    __m128i wanted = _mm_set1_epi32((int)tag);
    __m128i low = _mm_loadu_si128((const __m128i *)bucket->tags);
    __m128i high = _mm_loadu_si128((const __m128i *)(bucket->tags + 4));
    __m128i equal = _mm_packs_epi32(_mm_cmpeq_epi32(low, wanted), _mm_cmpeq_epi32(high, wanted));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()));
#else
    uint32_t places = 0;
    for (uint32_t at = 0; at < BUCKET; at++) {
        places |= (uint32_t)(bucket->tags[at] == tag) << at;
    }
    return places;
#endif
}

/* The number of the lowest bit that is set. */
static inline uint32_t
lowest_bit(uint64_t bits)
{
#if defined(__GNUC__) || defined(__clang__)
    return (uint32_t)__builtin_ctzll(bits);
#else
    uint32_t at = 0;
    for (; (bits & 1) == 0; bits >>= 1) {
        at++;
    }
    return at;
#endif
}

#endif
