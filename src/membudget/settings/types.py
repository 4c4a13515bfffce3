"""The settings as type checkers see them, by section; a test holds them against the table."""

from __future__ import annotations

from datetime import timedelta  # only type checkers come here
from typing import TypeAlias, TypedDict

Count: TypeAlias = int | str | None
Mark: TypeAlias = float | str | None
Names: TypeAlias = list[str] | tuple[str, ...] | str | None
Number: TypeAlias = float | str | None
Share: TypeAlias = float | str | None
Size: TypeAlias = int | str | None
Switch: TypeAlias = bool | str | None
Text: TypeAlias = str | None
Time: TypeAlias = float | str | timedelta | None


class PartMarks(TypedDict, total=False):
    """`thresholds.rss` and `thresholds.native`."""

    warning: Mark
    critical: Mark
    emergency: Mark


class Thresholds(PartMarks, total=False):
    """`thresholds`."""

    low: Mark
    shutdown: Mark
    rss: PartMarks
    native: PartMarks


class Monitoring(TypedDict, total=False):
    """`monitoring`."""

    check_interval: Time
    snapshot_interval: Time
    history_size: Count
    pressure_window: Count
    history_file: Text


class Leaks(TypedDict, total=False):
    """`leaks`."""

    enabled: Switch
    threshold_mb_per_hour: Number
    min_duration: Time
    min_samples: Count
    minimum_rate: Size
    census_every: Time
    apply_proposals: Switch
    trace: Time
    gc_efficiency: Share


class Caches(TypedDict, total=False):
    """`caches`."""

    size_limit: Mark
    share: Mark
    max_entries: Count
    ttl: Time
    cleanup_interval: Time
    adopt: Names
    spare: Names


class Cleanup(TypedDict, total=False):
    """`cleanup`."""

    auto: Switch
    settle: Time
    cooldown: Time
    gc_time_share: Share
    gc_above: Size


class Emergency(TypedDict, total=False):
    """`emergency`."""

    protection: Switch
    max_attempts: Count
    cooldown: Time
    restart_after: Time
    dump: Switch
    exit: Switch


class Directory(TypedDict, total=False):
    """`report` and `agent`."""

    directory: Text


class Component(TypedDict, total=False):
    """`components.NAME`."""

    max_items: Count
    max_bytes: Size


class SettingsGiven(TypedDict, total=False):
    """All but `limit`."""

    strict: Switch
    thresholds: Thresholds
    monitoring: Monitoring
    leaks: Leaks
    caches: Caches
    cleanup: Cleanup
    emergency: Emergency
    brake: Switch
    report: Directory
    agent: Directory
    components: dict[str, Component]
