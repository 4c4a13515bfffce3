"""What a census at a million objects costs the rest: pauses of another thread, and time.

uv run --group bench python bench/culprits/cost.py [objects]
"""

from __future__ import annotations

import statistics
import sys
import threading
import time

from membudget.heap.taker import CensusTaker

_ROUNDS = 7
_REST = 0.002
"""Seconds between slices, as the governor's thread leaves them."""


class Order:
    """A record as programs keep them: three objects each."""

    def __init__(self, number: int) -> None:
        """Number it."""
        self.number = number
        self.tags = [float(number)]
        self.fields = {"number": number, "name": str(number)}


class Control(threading.Thread):
    """Wakes every millisecond and notes how late it was."""

    def __init__(self) -> None:
        """Begin with no gap."""
        super().__init__(daemon=True)
        self.longest = 0.0
        self.ends = False

    def run(self) -> None:
        """Until told to end."""
        while not self.ends:
            begun = time.perf_counter()
            time.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - begun - 0.001)


def _gap(control: Control, work: object) -> tuple[float, float, float]:
    """The control thread's longest gap, wall and processor seconds while something runs."""
    control.longest = 0.0
    begun, own = time.perf_counter(), time.thread_time()
    work()  # type: ignore[operator]
    return control.longest, time.perf_counter() - begun, time.thread_time() - own


def main() -> None:
    """Interleave censuses with idling of the same length; print medians."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    orders = {number: Order(number) for number in range(count // 3)}
    control = Control()
    control.start()
    busy, idle, took, spent, slices = [], [], [], [], []
    before = None
    for _ in range(_ROUNDS):
        taker = CensusTaker(before)
        found = []

        def take(taker: CensusTaker = taker, found: list[object] = found) -> None:
            while (census := taker.step(time.monotonic() + 0.005)) is None:
                time.sleep(_REST)
            found.append(census)

        gap, wall, own = _gap(control, take)
        before = found[0]
        busy.append(gap)
        took.append(wall)
        spent.append(own)
        slices.append(before.longest_slice)
        idle.append(_gap(control, lambda wall=wall: time.sleep(wall))[0])
    control.ends = True
    lost = statistics.median(spent)
    print(f"census of {before.objects:,} objects ({len(orders):,} records), {_ROUNDS} rounds")
    print(f"  processor time {lost:.2f} s, with rests {statistics.median(took):.2f} s")
    print(f"  once an hour: {lost / 3600:.3%} of a core over a day")
    print(
        f"  longest pause of another thread {statistics.median(busy) * 1e3:.1f} ms, "
        f"idle {statistics.median(idle) * 1e3:.1f} ms"
    )
    print(
        f"  longest slice {statistics.median(slices) * 1e3:.1f} ms; "
        f"the walk held {before.held / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
