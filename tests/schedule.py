"""Which worker of a parallel session runs which test."""

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]


class Schedule(LoadScopeScheduling):  # type: ignore[misc]
    """Each test goes to the worker that is free; those that share a guest are one piece of work."""

    def _split_scope(self, nodeid: str) -> str:
        return "guest" if "/guest/" in nodeid else nodeid
