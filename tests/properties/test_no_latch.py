"""No latch: whatever happened before, when the excess is gone everything goes on."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import Failed, Level, Marks, Rung
from membudget.errors import OverBudgetError, ProbeError
from membudget.governor import Governor
from membudget.governor.floor import Protection
from membudget.registry import Registry

LIMIT = 1000 * MIB
PARTS = ("probe", "sink", "chore", "expired", "caches", "models", "last", "attempt")

_moves = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=1100),
        st.sampled_from([0.01, 0.1, 1.0, 7.0, 61.0]),
        st.sampled_from(["", "admit", *PARTS]),
    ),
    min_size=1,
    max_size=40,
)


class Scene:
    """A whole governor whose every part can be made to raise."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, limit=LIMIT)
        self.recorder = Recorder()
        self.broken: set[str] = set()
        self.reclaimers = [
            FakeReclaimer(self.memory, 50 * MIB, name="expired", rung=Rung.GENTLE),
            FakeReclaimer(self.memory, 300 * MIB, name="caches", shows=0.5, at_once=10 * MIB),
            FakeReclaimer(self.memory, 100 * MIB, name="models", rung=Rung.AGGRESSIVE, shows=0.0),
            FakeReclaimer(self.memory, 100 * MIB, name="last", rung=Rung.EMERGENCY),
        ]
        self.governor = Governor(
            self.memory,
            Marks(),
            self.reclaimers,
            [self._sink, self.recorder],
            chores=[self],
            registry=Registry(),
            own=self.memory.own,
            clock=self.clock,
        )
        self.governor.protection = self._protection(self.governor)

    name = "chore"

    def due(self, now: float) -> bool:
        return True

    def run(self, until: float) -> int:
        self._maybe_break("chore")
        return 0

    def _maybe_break(self, part: str) -> None:
        if part in self.broken:
            raise RuntimeError(part)

    def _sink(self, _event: object) -> None:
        self._maybe_break("sink")

    def _protection(self, owner: Governor) -> Protection:
        def attempt() -> None:
            self._maybe_break("attempt")
            owner.ladder.ask(Rung.EMERGENCY)

        return Protection(attempt, owner.tell, most=3, cooldown=60.0, restart_after=300.0)

    def play(self, moves: list[tuple[int, float, str]]) -> None:
        for used, wait, what in moves:
            self.broken = {what} & set(PARTS)
            self.memory.error = ProbeError("gone") if what == "probe" else None
            for one in self.reclaimers:
                one.error = RuntimeError(one.name) if one.name == what else None
                one.holds = max(one.holds, 20 * MIB)
            self.memory.used = used * MIB
            self.clock.advance(wait)
            if what == "admit":
                try:
                    with self.governor.admit(200 * MIB, timeout=0.5):
                        self.governor.step()
                except OverBudgetError:
                    pass
            self.governor.step()

    def heal(self, used: int) -> None:
        """Mend everything and be calm for three seconds at so many MiB."""
        self.broken, self.memory.error = set(), None
        for one in self.reclaimers:
            one.error = None
        for _ in range(6):
            self.memory.used = used * MIB
            self.governor.step()
            self.clock.advance(0.5)


@given(_moves, st.integers(min_value=0, max_value=690))
@settings(deadline=None)
def test_when_the_excess_is_gone_the_level_is_normal_and_nothing_stays_shut(
    moves: list[tuple[int, float, str]], calm: int
) -> None:
    """From any state, with any part failing: NORMAL again, and room is granted again."""
    scene = Scene()
    scene.play(moves)
    scene.heal(calm)
    assert scene.governor.pressure.level is Level.NORMAL
    assert not scene.governor.admission.is_shut
    assert scene.governor.meter.reserved == 0
    with scene.governor.admit(100 * MIB):
        pass


@given(_moves)
@settings(deadline=None)
def test_whatever_was_left_alone_is_asked_again_within_half_a_minute(
    moves: list[tuple[int, float, str]],
) -> None:
    """No pause outlives its 30 seconds."""
    scene = Scene()
    scene.play(moves)
    scene.heal(100)
    scene.clock.advance(31)
    for one in scene.reclaimers:
        one.asked.clear()
        one.holds = MIB
    scene.memory.used = 990 * MIB
    scene.governor.step()
    assert [bool(one.asked) for one in scene.reclaimers] == [True, True, True, True]


@given(_moves.filter(lambda moves: any(part for _, _, part in moves)))
@settings(deadline=None)
def test_a_broken_part_never_stops_the_loop_and_is_named(
    moves: list[tuple[int, float, str]],
) -> None:
    """Steps never raise; what is told names the part that failed."""
    scene = Scene()
    scene.play(moves)
    broke = {part for _, _, part in moves if part in PARTS}
    for event in scene.recorder.of(Failed):
        assert isinstance(event, Failed)
        assert any(part in event.where or part in str(event.error) for part in (*broke, "sink"))
