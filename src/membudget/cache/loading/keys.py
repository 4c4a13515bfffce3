"""What stands before arguments given by name in a key.

Under the name of this module it is in what earlier processes kept on their disks.
"""

from typing import Final


class _Mark:
    """The same one after pickling."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "_NAMED"


_NAMED: Final = _Mark()
