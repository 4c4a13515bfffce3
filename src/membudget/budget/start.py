"""`start()`: from settings to a budget that runs."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from membudget.budget.answers import Answers
from membudget.budget.assembly import Sources, build_governor, publish
from membudget.budget.day import Day
from membudget.budget.handle import Budget
from membudget.budget.naming import process_name, program_name
from membudget.budget.sampling import Sampling
from membudget.core import PressureChanged, Rung, Shortcoming
from membudget.errors import ConfigError, MembudgetError
from membudget.governor.loop import Governor
from membudget.governor.watch import WARM
from membudget.reclaimers.trim import RISE
from membudget.registry import REGISTRY
from membudget.settings.resolve import resolve
from membudget.settings.table import CONFIG_VARIABLE
from membudget.sinks.combine import merged, only
from membudget.sinks.log import log_sink
from membudget.sinks.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from membudget.budget.foreign import ForeignCaches
    from membudget.budget.reload import HangupHandler
    from membudget.core import Follower, Pressure, Reading, Reclaimer, Sink
    from membudget.governor.brake import Brake
    from membudget.host.presence import Presence
    from membudget.registry import Registry
    from membudget.settings.resolve import Settings

PRESENT_EVERY = 10.0
"""Seconds between two looks whether slot and socket are where they were put."""

CHANGES_KEPT = 50
"""Changes of level that are kept for whoever asks."""


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
    found = Sources(resolved)
    shortcomings = found.check(resolved)
    sampling, changes = Sampling(resolved, holders, redact), Ring(CHANGES_KEPT)
    day = Day(sampling, program_name(sys.orig_argv))
    takers = [merged(log_sink())] if sinks is None else list(sinks)
    foreign = _foreign(resolved, holders, is_launched=is_launched)
    answers: dict[str, Any] = {}
    presence = _presence(resolved, answers) if thread else None
    governor = build_governor(
        resolved,
        found,
        holders,
        ladder=ladder,
        sinks=[only(changes, PressureChanged), merged(day), *takers],
        presence=presence,
        sampling=sampling,
    )
    governor.gives_way = is_launched
    day.serve(governor)
    if isinstance(before, Governor):
        before.stop()
    for where, failure in found.failures:
        governor.tell.failed(where, failure)
    if presence is not None:
        governor.followers.append(_publisher(presence, governor))
        governor.at_stop.append(presence.close)
    brake, note = _brake(resolved, found, governor)
    answers.update(
        Answers(governor, changes, foreign, brake, day, allocators=found.allocators).by_command()
    )
    _let_rest(governor, presence, found, is_apt=brake is None and not resolved["emergency.exit"])
    _report_daily(governor, day, resolved["report.directory"])
    handler = None
    if config is not None:
        handler = _reload_on_hangup(governor, found, resolved, given, config)
    if foreign is not None:
        foreign.adopt(governor)
    try:
        missing = governor.start(thread=thread, note=note)
        _refuse_if_strict(resolved, missing, brake, note)
    except BaseException:
        if foreign is not None:
            foreign.leave()
        governor.stop()
        raise
    _tell(governor, *shortcomings, missing)
    budget = Budget(governor, resolved, sampling, found, foreign=foreign, brake=brake, day=day)
    _let_settings_change(budget, found, handler)
    return budget


def _refuse_if_strict(settings: Settings, missing: str, brake: Brake | None, note: str) -> None:
    """Have no budget without a thread, or a brake, that was asked for.

    Raises:
        ConfigError: One is not to be had.
    """
    what = missing or (note if brake is None else "")
    if settings["strict"] and what:
        raise ConfigError(what)


def _tell(governor: Governor, *shortcomings: str) -> None:
    for what in filter(None, shortcomings):
        governor.tell(Shortcoming(at=governor.clock.now(), what=what))


def _let_settings_change(budget: Budget, sources: Sources, handler: HangupHandler | None) -> None:
    """Let new settings reach all who hold them: the file's, and what the history proposes."""
    if handler is not None:
        handler.on_reload = budget.take_settings
    if not budget.settings["leaks.apply_proposals"]:
        return
    from membudget.budget.reload import reload  # only where told to, and here: not on the thread

    def change(after: Settings) -> None:
        held, _, _ = reload(budget.governor, sources, budget.settings, after)
        budget.take_settings(held)
        if handler is not None:
            handler.settings = held

    budget.sampling.change = change


def _foreign(settings: Settings, registry: Registry, *, is_launched: bool) -> ForeignCaches | None:
    """What is adopted: taken over from a launcher's budget, or found anew, or nothing."""
    for one in registry.reclaimers():
        taken_over: ForeignCaches | None = getattr(one, "foreign", None)
        if taken_over is not None:
            return taken_over
    if not is_launched and not settings["caches.adopt"]:
        return None
    from membudget.budget.foreign import ForeignCaches  # only where there may be any

    return ForeignCaches(settings, registry, is_launched=is_launched)


def _presence(settings: Settings, answers: dict[str, Any]) -> Presence | None:
    """What makes this process findable, where it may be and the system has what it takes."""
    directory = settings["agent.directory"]
    if directory == "none" or sys.platform != "linux":
        return None
    from membudget.host.presence import Presence  # Linux only

    return Presence(None if directory == "auto" else directory, process_name(), answers)


def _let_rest(
    governor: Governor, presence: Presence | None, sources: Sources, *, is_apt: bool
) -> None:
    """Leave a launched process alone while it only looks after others, unless it keeps more."""
    if not governor.gives_way or presence is None or not is_apt:
        return
    from membudget.host.supervising import Supervising  # Linux only
    from membudget.probes.process import shared_bytes

    own = sources.process.own_bytes
    governor.rests = Supervising(presence, governor.registry, own, shared_bytes)


def _publisher(presence: Presence, governor: Governor) -> Follower:
    """Writes each judgement into the process's slot. Cost: 3 µs."""
    looked_at = time.monotonic()

    def follow(reading: Reading, _pressure: Pressure) -> None:
        nonlocal looked_at
        if reading.at - looked_at > PRESENT_EVERY:
            looked_at = reading.at
            if not presence.touch():
                governor.watch.listen_anew()
        publish(presence, governor)

    return follow


def _brake(settings: Settings, sources: Sources, governor: Governor) -> tuple[Brake | None, str]:
    """The brake where it was asked for and can be armed, and what to say about it."""
    if not settings["brake"]:
        return None, ""
    from membudget.governor.brake import Brake  # only for those who ask for it
    from membudget.probes.allocator import load_unwinder

    load_unwinder()

    def ask(size: int) -> None:
        governor.ladder.ask(Rung.GENTLE, size)

    allocators = sources.allocators
    ready = allocators.ready if settings["cleanup.auto"] else int
    if (free := ready()) >= RISE:
        ask(free)
    try:
        brake = Brake(
            tell=governor.tell,
            registry=governor.registry,
            wake=governor.watch.ring,
            ready=ready,
            given_back=lambda: allocators.given_back,
            ask=ask,
        )
        note = brake.arm(sources.probe())
    except (MembudgetError, OSError, ValueError) as error:
        return None, f"no brake: {error}"
    is_pressed = allocators.is_pressed
    allocators.is_pressed = lambda: brake.is_scarce or is_pressed()
    sources.original_limit = brake.original
    # What libraries map and never touch is taken for the program's until the next step: 66 MiB of
    # numpy's would refuse others 66 MiB for a quarter of a second.
    governor.watch.quick = WARM
    governor.followers.append(brake.follow)
    governor.at_stop.append(brake.disarm)
    return brake, note


def _report_daily(governor: Governor, day: Day, directory: str | None) -> None:
    """Have a report written every 24 hours, where there is a folder for it."""
    if directory is None:
        return
    from membudget.report.daily import DailyReport  # only for those who want one

    daily = DailyReport(
        directory, day.report, governor.tell, governor.clock, name=program_name(sys.orig_argv)
    )
    governor.chores.append(daily)
    governor.at_stop.append(daily.end)


def _reload_on_hangup(
    governor: Governor,
    sources: Sources,
    settings: Settings,
    given: dict[str, Any],
    config: str | os.PathLike[str],
) -> HangupHandler:
    """Read the file again at SIGHUP, where nobody else handles it."""
    import signal  # only for those with a file
    import threading

    from membudget.budget.reload import HangupHandler

    handler = HangupHandler(governor, sources, settings, given, config)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, handler)
        governor.at_stop.append(handler.remove)
    return handler
