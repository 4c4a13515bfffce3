"""Which worker of a parallel session runs which test."""

from __future__ import annotations

from xdist.scheduler.loadscope import LoadScopeScheduling


class Schedule(LoadScopeScheduling):
    """Each test goes to the worker that is free; those that share a guest are one piece of work."""

    def _split_scope(self, nodeid: str) -> str:
        return "guest" if "/guest/" in nodeid else nodeid
