#ifndef MEMBUDGET_TABLE_ARGUMENTS_H
#define MEMBUDGET_TABLE_ARGUMENTS_H

#include "table.h"

/* -1 with an exception, each. */
double read_ttl(PyObject *ttl);     /* seconds that an entry lasts */
int64_t read_size(PyObject *size);  /* bytes that it weighs */
int64_t ask_size(Table *table, PyObject *value); /* the same, by the table's own function */

#endif
