"""`start()`: from settings to a list of plugins, to a budget that runs."""

from __future__ import annotations

import os
import sys

from membudget.budget.handle import Budget
from membudget.budget.naming import process_name, program_name
from membudget.budget.reclaiming import LastResort, Reclaiming
from membudget.budget.sources import Sources, WakeUps
from membudget.core import Shortcoming
from membudget.errors import ConfigError
from membudget.governor.loop import Governor
from membudget.inspection.inspection import Inspection
from membudget.probes.allocator import where_held
from membudget.probes.process import shared_bytes
from membudget.registry import REGISTRY
from membudget.settings.resolve import resolve
from membudget.settings.table import CONFIG_VARIABLE
from membudget.sinks.log import log_sink, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from membudget.core import Clock, Plugin, Reclaimer, Sink
    from membudget.registry import Registry
    from membudget.settings.resolve import Settings


def start(
    limit: int | str | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    thread: bool = True,
    sinks: Iterable[Sink] | None = None,
    ladder: Iterable[Reclaimer] = (),
    registry: Registry | None = None,
    is_launched: bool = False,
    redact: Callable[[str], object] | None = None,
    **settings: Any,
) -> Budget:
    """Put this process under a budget.

    Args:
        limit: Bytes, or text such as "400MiB"; None finds the cgroup's, the resource limits, the
            system's memory. A given limit adds to those found: the tightest rules.
        config: A settings file, YAML or TOML; by default the one that MEMBUDGET_CONFIG names.
        thread: Whether a daemon thread keeps the budget; else the program calls `step()`.
        sinks: Takers of events; by default the logger "membudget".
        ladder: Reclaimers to ask before the standing ones.
        registry: Whose holders are governed; by default those of the process.
        is_launched: Whether the program knows nothing of it: then a later `start()` in this
            process ends this budget instead of failing, and caches found in it may be shrunk.
        redact: What each text of the program's is passed through before it is told of what grows
            ("newest: 4711: Session('…')"): takes the text, returns what may be told of it. By
            default digits are hidden, and what looks like an address or a token.
        settings: By section, as in `cleanup={"settle": "2s"}`; the environment's
            MEMBUDGET_CLEANUP_SETTLE comes second to it, the file third.

    Raises:
        ConfigError: A setting or an argument that does not fit, or a budget that runs already;
            with the setting `strict` also where this machine, or what the process holds already,
            does not let the budget be kept as asked. Else that is told, and what can be kept is.
    """
    if redact is not None and not callable(redact):
        raise ConfigError(f"redact {redact!r:.80} cannot be called: give a function of a text")
    given = {"limit": limit, **settings}
    config = config or os.environ.get(CONFIG_VARIABLE) or None
    resolved = resolve(given, file=config)
    holders = registry if registry is not None else REGISTRY
    before = holders.governor
    if not isinstance(before, Governor) or not before.gives_way:
        holders.check_free()
    sources = Sources(resolved)
    shortcomings = sources.check(resolved)
    takers = [merged(log_sink())] if sinks is None else list(sinks)
    governor = governor_of(resolved, sources, holders, ladder=ladder, sinks=takers)
    governor.gives_way = is_launched
    foreign = _foreign(resolved, holders, is_launched=is_launched)
    if isinstance(before, Governor):
        before.stop()
    try:
        for plugin in _plugins(sources, redact):
            governor.join(plugin)
        for plugin in _optional(resolved, sources, given, config, thread=thread):
            governor.join(plugin)
        if is_launched and thread and sys.platform == "linux":
            from membudget.host.supervising import Supervising

            governor.join(Supervising(sources.process.own_bytes, shared_bytes))
        if foreign is not None:
            governor.join(foreign)
        missing = governor.start(thread=thread)
        _refuse_if_strict(resolved, missing)
    except BaseException:
        governor.stop()
        raise
    for what in filter(None, (*shortcomings, missing)):
        governor.tell(Shortcoming(at=governor.clock.now(), what=what))
    return Budget(governor)


def _refuse_if_strict(settings: Settings, missing: str) -> None:
    """Have no budget without a thread.

    Raises:
        ConfigError: None is to be had.
    """
    if settings["strict"] and missing:
        raise ConfigError(missing)


def governor_of(
    settings: Settings,
    sources: Sources,
    registry: Registry,
    *,
    ladder: Iterable[Reclaimer] = (),
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
) -> Governor:
    """A governor for these settings and sources, without its plugins, not yet started.

    Args:
        settings: What holds.
        sources: What is read.
        registry: Whose holders are governed.
        ladder: Reclaimers asked before those of plugins.
        sinks: Takers of events.
        clock: Where the governor's time comes from.
    """
    return Governor(
        sources.probe,
        settings.marks(),
        ladder,
        sinks,
        registry=registry,
        own=sources.process.own_bytes,
        settings=settings,
        settle=settings["cleanup.settle"],
        snapshot_interval=settings["monitoring.snapshot_interval"],
        window=settings["monitoring.pressure_window"],
        interval=settings["monitoring.check_interval"],
        is_active=settings["cleanup.auto"],
        explain=where_held,
        clock=clock,
    )


def _plugins(sources: Sources, redact: Callable[[str], object] | None) -> Iterator[Plugin]:
    """What every budget has, in the order in which it joins."""
    yield sources
    yield Reclaiming(sources)
    yield LastResort()
    yield WakeUps(sources)
    yield Inspection(program_name(sys.orig_argv), redact=redact)


def _optional(
    settings: Settings,
    sources: Sources,
    given: Mapping[str, Any],
    config: str | os.PathLike[str] | None,
    *,
    thread: bool,
) -> Iterator[Plugin]:
    """What some have: nothing of it is imported for the others."""
    directory = settings["agent.directory"]
    if thread and directory != "none" and sys.platform == "linux":
        from membudget.host.presence import Presence

        yield Presence(None if directory == "auto" else directory, process_name())
    if settings["brake"]:
        from membudget.brake.plugin import BrakePlugin

        yield BrakePlugin(sources, is_strict=settings["strict"])
    if settings["report.directory"] is not None:
        from membudget.report.daily import DailyReport

        yield DailyReport(settings["report.directory"], program_name(sys.orig_argv))
    if config is not None:
        from membudget.budget.reload import HangupHandler

        yield HangupHandler(given, config)


def _foreign(settings: Settings, registry: Registry, *, is_launched: bool) -> Plugin | None:
    """What is adopted: taken over from a launcher's budget, or found anew, or nothing."""
    for one in registry.reclaimers():
        taken_over: Plugin | None = getattr(one, "foreign", None)
        if taken_over is not None:
            return taken_over
    if not is_launched and not settings["caches.adopt"]:
        return None
    from membudget.budget.foreign import ForeignCaches

    return ForeignCaches(settings, registry, is_launched=is_launched)
