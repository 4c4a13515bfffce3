"""Every exception that membudget raises on purpose.

Each message gives the value, the rule it broke and the next thing to try, in one line.
"""

from __future__ import annotations


class MembudgetError(Exception):
    """The base of all errors raised on purpose."""


class ConfigError(MembudgetError, ValueError):
    """A setting or an argument that cannot be used as given."""


class ProbeError(MembudgetError, OSError):
    """A figure that could not be read."""


class OverBudgetError(MembudgetError, MemoryError):
    """A request for memory that does not fit the budget; nothing was reserved."""


class LeaseError(MembudgetError, RuntimeError):
    """A reservation or a lease used after its end, or ended twice."""


class ControlError(MembudgetError, OSError):
    """A running process that could not be reached."""


class MissingExtraError(MembudgetError, ImportError):
    """A feature whose optional dependency is not installed."""
