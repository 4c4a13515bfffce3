"""Laws of the cgroup probe over every tree of groups."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from membudget.core import Reading
from membudget.probes.cgroup import cgroup_probe
from membudget.units import MIB

RAM = 4096 * MIB
LIMIT = st.one_of(st.none(), st.integers(1, 6000).map(lambda size: size * MIB))


def read_chain(uses: list[int], limits: list[tuple[int | None, int | None]]) -> Reading:
    """The reading of a process in the innermost of nested groups, the outermost given first."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        proc, folder = root / "proc" / "self", root / "cgroups"
        proc.mkdir(parents=True)
        folder.mkdir()
        for depth, (used, (most, high)) in enumerate(zip(uses, limits, strict=True)):
            folder /= f"g{depth}"
            folder.mkdir()
            (folder / "memory.stat").write_text(f"anon {used}\nfile 0\nkernel 0\nshmem 0\n")
            (folder / "memory.max").write_text("max" if most is None else str(most))
            (folder / "memory.high").write_text("max" if high is None else str(high))
        path = "/".join(f"g{depth}" for depth in range(len(uses)))
        (proc / "cgroup").write_text(f"0::/{path}\n")
        (proc / "mountinfo").write_text("35 29 0:26 / /cgroups rw - cgroup2 cgroup2 rw\n")
        (root / "proc" / "meminfo").write_text(f"MemTotal: {RAM // 1024} kB\n")
        probe = cgroup_probe(root=name)
        assert probe is not None
        reading = probe()
        probe.close()
        return reading


@given(st.lists(st.tuples(LIMIT, LIMIT), min_size=1, max_size=5))
def test_of_groups_that_use_the_same_the_smallest_limit_counts(
    limits: list[tuple[int | None, int | None]],
) -> None:
    """Alone in its tree, a process is held against the smallest limit that is no more than RAM."""
    finite = [limit for pair in limits for limit in pair if limit is not None and limit <= RAM]
    reading = read_chain([MIB] * len(limits), limits)
    assert reading.limit == min(finite, default=None)
    assert reading.used == MIB


@given(st.lists(st.tuples(st.integers(0, 500), LIMIT), min_size=1, max_size=5))
def test_the_group_nearest_to_its_limit_is_told(chain: list[tuple[int, int | None]]) -> None:
    """Use and limit told are of one group, and no other group is nearer to its own limit."""
    used = 0
    uses = [used := used + more * MIB for more, _limit in reversed(chain)][::-1]
    reading = read_chain(uses, [(limit, None) for _more, limit in chain])
    pairs = [
        (used, limit)
        for used, (_more, limit) in zip(uses, chain, strict=True)
        if limit is not None and limit <= RAM
    ]
    if not pairs:
        assert (reading.used, reading.limit) == (uses[-1], None)
        return
    assert (reading.used, reading.limit) in pairs
    assert reading.fraction == max(used / limit for used, limit in pairs)
