"""How many bytes an object holds, so that a cache can keep a byte budget.

`sys.getsizeof` is not that figure: it stops at the first container (5 % of a JSON record), leaves
out the allocator's rounding, and for a DataFrame runs code that makes the DataFrame grow. Here an
object is weighed with all it refers to, each part in the allocator's own size classes:

- What everybody shares weighs nothing: None, small ints, classes, functions, modules.
- An object met twice is weighed once.
- What is often borrowed, a record's field names and the array behind a view, is weighed only where
  nobody outside refers to it.
- The walk looks at a bounded number of objects. Where there are more, it goes on from the average
  of the siblings it saw, and `measure` says that the figure is an estimate.
- No `__sizeof__` written in Python is called, no `__dict__` is made, nothing is imported: arrays
  are known only where the program itself has imported their library.

An object referred to from elsewhere too (a session, a parent, a shared table) is weighed in full,
since the caller's own variables often still refer to parts of a value while it is being stored.
Give such values a size of their own, or `register` their type.
"""

from membudget.sizing.blocks import allocated
from membudget.sizing.walk import NODES, Size, measure, register, size_of, unregister

__all__ = ["NODES", "Size", "allocated", "measure", "register", "size_of", "unregister"]
