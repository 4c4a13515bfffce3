"""What a budget's samples foretell: a limit that is near is told, and settings are proposed.

Part of judging (`leak_watch`), after each verdict and on the same samples. Nothing of it is
imported before there are samples enough for a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core import LimitForeseen, ProposalApplied
from membudget.errors import MembudgetError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from membudget.core import Sample
    from membudget.forecast import Forecast, Nearness
    from membudget.governor.loop import Governor
    from membudget.leaks.advice import Proposal
    from membudget.leaks.records import Rules, Verdict
    from membudget.leaks.series import Series
    from membudget.settings.resolve import Settings

MIB = 1 << 20
PROPOSED_EVERY = 3600.0
"""Seconds between two looks at what settings would fit: they come from half a day at the least."""

_ORIGIN = "its own history"


class Foresight:
    """Forecasts and proposes on the governor's thread, in slices of about a millisecond.

    Args:
        governor: Told when the limit will be met, tells the events, and puts settings in force.

    Attributes:
        ahead: The latest forecast, or None before the first.
        proposals: What was proposed last.
    """

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self.forget()

    def forget(self) -> None:
        """Know nothing: at first, and in a forked child."""
        self.ahead: Forecast | None = None
        self.proposals: tuple[Proposal, ...] = ()
        self._nearness: Nearness | None = None
        self._next = float("-inf")

    def looking(
        self, samples: Sequence[Sample], series: Series, verdict: Verdict, rules: Rules
    ) -> Generator[None, None, None]:
        """Look ahead once.

        Args:
            samples: All that are kept.
            series: The columns of the newest process's.
            verdict: What they say of a leak.
            rules: What was demanded of it.

        Yields:
            Nothing; another thread may have its turn.
        """
        own = samples[len(samples) - len(series.hours) :]
        self._look_ahead(own, series)
        yield
        if samples[-1].wall < self._next:
            return
        self._next = samples[-1].wall + PROPOSED_EVERY
        from membudget.leaks.advice import proposing  # imported ahead, with the verdict

        warning, low = self._shares(samples[-1].limit)
        self.proposals = yield from proposing(
            samples,
            rules,
            warning=warning,
            low=low,
            is_growing=bool(verdict.confidence),
            series=series,
        )
        yield
        if self._governor.settings["leaks.apply_proposals"]:
            self._apply(samples[-1].limit)

    def _look_ahead(self, own: Sequence[Sample], series: Series) -> None:
        from membudget.forecast import Nearness, forecast  # imported ahead, with the verdict

        governor = self._governor
        used = [one.used / MIB for one in own]
        ahead = forecast(series.hours, used, own[-1].limit, bounded=series.explained)
        before = self._nearness or Nearness()
        self.ahead, self._nearness = ahead, before.after(ahead)
        now, left = governor.clock.now(), ahead.seconds_left
        governor.foretold = None if left is None else now + left
        if self._nearness.is_told is before.is_told:
            return
        is_near = self._nearness.is_told
        governor.tell(
            LimitForeseen(
                at=now,
                seconds_left=left if is_near else None,
                soonest=ahead.soonest if is_near else None,
                latest=ahead.latest if is_near else None,
                rate=ahead.rate,
                used=ahead.used,
                limit=ahead.limit,
            )
        )

    def _shares(self, limit: int | None) -> tuple[float, float]:
        """Where WARNING begins now and where the low mark is, as shares of the limit."""
        marks = self._governor.marks
        if not limit:
            return 0.8, 0.7
        low, warning, *_ = marks.resolved(limit)
        return round(warning / limit, 4), round(low / limit, 4)

    def _apply(self, limit: int | None) -> None:
        """Put the proposals that tighten something in force, and tell each with its reason."""
        before: Settings = self._governor.settings
        chosen = [one for one in self.proposals if _tightens(one, before, limit)]
        values = {one.key: _value(one) for one in chosen}
        if not values:
            return
        after = before.replace(
            values={**before.values, **values},
            origins={**before.origins, **dict.fromkeys(values, _ORIGIN)},
        )
        try:
            for error in after.misplaced():
                raise error
            self._governor.change_settings(after)
        except MembudgetError as error:
            self._governor.tell.failed("proposals", error)
            return
        for one in chosen:
            self._governor.tell(
                ProposalApplied(
                    at=self._governor.clock.now(),
                    key=one.key,
                    before=one.now,
                    after=one.told,
                    reason=one.reason,
                )
            )


def _value(proposal: Proposal) -> Any:
    """The value as the settings hold it: a share, or a whole number."""
    return proposal.value if proposal.key.startswith("thresholds.") else round(proposal.value)


def _tightens(proposal: Proposal, settings: Settings, limit: int | None) -> bool:
    """Whether it can change while running, and leaves no limit looser than it was."""
    from membudget.core import in_bytes
    from membudget.settings.table import setting_of

    key = proposal.key
    setting = setting_of(key) if key else None
    if setting is None or not setting.is_live or key == "limit":  # A larger one is all that is.
        return False
    now: Any = settings.values.get(key)
    value = _value(proposal)
    if key.startswith("thresholds."):
        return in_bytes(value, limit) < in_bytes(now, limit)
    # A bound that the program gave, or the container keeps, is not for settings to change.
    return not proposal.now if now is None else bool(value < now)
