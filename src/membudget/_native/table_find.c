/* From a key to its entry.

   Strings and small ints are compared here. Whatever else runs the program's `__eq__`, maybe, with
   strong references held to both; it may have changed the table, so that the lookup begins again when
   the version is another one. Whoever adds an entry meanwhile adds it behind where the lookup is, and
   the old slots of an index that is being exchanged come first, so additions are not missed. */

#include "table.h"

#define GOLDEN 0x9E3779B97F4A7C15u /* 2^64 by the golden ratio: Knuth, 6.4. */

#define MOST_BEGINNINGS 10000 /* of one search */

enum { FOUND = 1, ABSENT = 0, FAILED = -1, CHANGED = 2 };
enum { EQUAL, DIFFERENT, TO_BE_ASKED };

uint32_t
key_tag(PyObject *key)
{
    Py_hash_t hash = -1;
    if (PyUnicode_CheckExact(key)) {
        hash = ((PyASCIIObject *)key)->hash;
    }
    if (hash == -1) {
        hash = PyObject_Hash(key);
        if (hash == -1) {
            return 0;
        }
    }
    uint32_t tag = (uint32_t)(((uint64_t)(int64_t)hash * GOLDEN) >> 32);
    return tag != 0 ? tag : 1;
}

/* The value of an int of one digit; 0 where it is larger. */
static inline int
small_int(PyObject *number, Py_ssize_t *value)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) {
        return 0;
    }
    *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
#else
    Py_ssize_t size = Py_SIZE(number);
    if (size < -1 || size > 1) {
        return 0;
    }
    *value = size * (Py_ssize_t)((PyLongObject *)number)->ob_digit[0];
#endif
    return 1;
}

static inline int
compare(PyObject *held, PyObject *key)
{
    if (held == key) {
        return EQUAL;
    }
    if (PyUnicode_CheckExact(key)) {
        if (!PyUnicode_CheckExact(held)) {
            return TO_BE_ASKED;
        }
        Py_ssize_t length = PyUnicode_GET_LENGTH(key);
        int kind = PyUnicode_KIND(key);
        if (length != PyUnicode_GET_LENGTH(held) || kind != (int)PyUnicode_KIND(held)) {
            return DIFFERENT;
        }
        return memcmp(PyUnicode_DATA(key), PyUnicode_DATA(held), (size_t)(length * kind)) == 0
                   ? EQUAL
                   : DIFFERENT;
    }
    if (PyLong_CheckExact(key) && PyLong_CheckExact(held)) {
        Py_ssize_t one, other;
        if (small_int(key, &one) && small_int(held, &other)) {
            return one == other ? EQUAL : DIFFERENT;
        }
    }
    return TO_BE_ASKED;
}

/* Asks the keys themselves. */
static int
ask(Table *table, PyObject *held, PyObject *key)
{
    uint64_t version = table->version;
    Py_INCREF(held);
    int is_equal = PyObject_RichCompareBool(held, key, Py_EQ);
    drop(held);
    if (is_equal < 0) {
        return FAILED;
    }
    return version == table->version ? is_equal : CHANGED;
}

static inline int
find_in(Table *table, const Bucket *buckets, size_t mask, PyObject *key, uint32_t tag, Id *id)
{
    for (size_t at = tag & mask;; at = (at + 1) & mask) {
        const Bucket *bucket = &buckets[at];
        for (uint32_t places = places_with(bucket, tag); places != 0; places &= places - 1) {
            *id = bucket->ids[lowest_bit(places)];
            PyObject *held = entry_at(&table->contents, *id)->key;
            int answer = compare(held, key);
            if (LIKELY(answer == EQUAL)) {
                return FOUND;
            }
            if (answer == TO_BE_ASKED && (answer = ask(table, held, key)) != ABSENT) {
                return answer;
            }
        }
        if (LIKELY(places_with(bucket, 0) != 0)) {
            return ABSENT;
        }
    }
}

/* Where each comparison changes the table, the end never comes: such a key gets an error. */
static int
check_beginnings(uint32_t times)
{
    if (times < MOST_BEGINNINGS) {
        return CHANGED;
    }
    PyErr_SetString(PyExc_RuntimeError, "the cache changed each time its keys were compared: let "
                                        "no __eq__ of a key change it");
    return FAILED;
}

int
table_find(Table *table, PyObject *key, uint32_t tag, Id *id)
{
    int answer;
    uint32_t times = 0;
    do {
        const Index *index = &table->contents.index;
        answer = ABSENT;
        if (UNLIKELY(index->old != NULL)) {
            answer = find_in(table, index->old, index->old_mask, key, tag, id);
        }
        if (LIKELY(answer == ABSENT)) {
            answer = find_in(table, index->buckets, index->mask, key, tag, id);
        }
        if (UNLIKELY(answer == CHANGED)) {
            answer = check_beginnings(++times);
        }
    } while (UNLIKELY(answer == CHANGED));
    return answer;
}
