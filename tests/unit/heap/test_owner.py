"""Who owns a container: the names that a census finds."""

import asyncio
import contextlib
import functools
import gc
import queue
import sys
import threading
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from membudget.heap import NOT_CONTAINERS, Census
from membudget.heap.items import mean_bytes
from membudget.heap.owner import is_own_dict
from membudget.heap.roots import locals_of
from membudget.heap.taker import CensusTaker

ITEMS = list(range(100))


class Store:
    """Holds things in every way that an object can."""

    shared: dict[int, int] = {}  # noqa: RUF012  # what this test is about

    def __init__(self) -> None:
        self._by_id = dict.fromkeys(range(200))

    def fill(self) -> None:
        self.late = list(ITEMS)


class Slotted:
    """No dict at all."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = list(ITEMS)


def names(holder: object, name: str = "root") -> dict[str, str]:
    """The owners of the containers that one root reaches, and their kinds."""
    census = CensusTaker(only=[(name, holder)]).take()
    return {
        owner: kind
        for kind, counts in census.counts.items()
        if kind not in NOT_CONTAINERS
        for owner, length in counts.items()
        if length < 1000
    }


def _own(name: str) -> str:
    return f"{__name__}.{name}"


def test_an_attribute_is_named_by_its_class() -> None:
    assert names([[Store()]])[_own("Store._by_id")] == "dict"


def test_an_attribute_of_an_object_with_a_dict_of_its_own_is_named_alike() -> None:
    """Somebody asked for `__dict__`, and it is there now."""
    store = Store()
    assert vars(store)
    store.fill()
    found = names(store)
    assert _own("Store._by_id") in found
    assert _own("Store.late") in found


def test_an_attribute_that_others_set_is_found_in_the_module() -> None:
    """Its name is in none of the class's own methods."""
    store = Store()
    store.elsewhere = list(ITEMS)  # type: ignore[attr-defined]
    assert _own("Store.elsewhere") in names(store)


class Defaulted:
    """Its class has the attribute as well."""

    rows: list[int] | None = None

    def __init__(self) -> None:
        self.rows = list(ITEMS)


def test_an_attribute_with_a_default_in_the_class_is_named() -> None:
    """The object's own value is found before the default."""
    assert _own("Defaulted.rows") in names(Defaulted())


def test_a_slot_is_named_by_its_class() -> None:
    """Slots have descriptors that tell."""
    assert names(Slotted())[_own("Slotted.rows")] == "list"


def test_a_class_attribute_is_named_by_its_class() -> None:
    Store.shared.update(zip(ITEMS, ITEMS, strict=True))
    try:
        assert names(Store)[_own("Store.shared")] == "dict"
    finally:
        Store.shared.clear()


def test_a_module_variable_is_named_by_its_module() -> None:
    """From sixteen items on."""
    module = ModuleType("shop")
    module.orders = list(range(20))  # type: ignore[attr-defined]
    module.few = list(range(10))  # type: ignore[attr-defined]
    found = names(vars(module), "module shop")
    assert found["shop.orders"] == "list"
    assert "shop.few" not in found


def test_a_closure_variable_is_named_by_its_function() -> None:
    seen = list(ITEMS)

    def remember() -> None:
        seen.append(1)

    name = "test_a_closure_variable_is_named_by_its_function.remember.<closure>.seen"
    assert names(remember)[_own(name)] == "list"


def test_a_default_argument_is_named_by_its_function() -> None:
    """The classic leak of an argument that is one list for all calls."""

    def collect(item: int, into: list[int] = list(ITEMS)) -> None:  # noqa: B006  # the point
        into.append(item)

    name = "test_a_default_argument_is_named_by_its_function.collect.<default>.into"
    assert names(collect)[_own(name)] == "list"


def test_containers_in_a_container_are_counted_together() -> None:
    module = ModuleType("shop")
    module.queues = {key: list(ITEMS) for key in "abc"}  # type: ignore[attr-defined]
    census = CensusTaker(only=[("module shop", vars(module))]).take()
    assert census.counts["list"]["shop.queues[…]"] == 300


def test_a_queue_is_named_by_who_holds_it() -> None:
    """Its deque belongs to the standard library's own class, which tells nothing."""
    module = ModuleType("shop")
    module.jobs = queue.Queue()  # type: ignore[attr-defined]
    for item in ITEMS:
        module.jobs.put(item)
    assert names(vars(module), "module shop")["shop.jobs.queue"] == "collections.deque"


def test_variables_of_functions_that_run_are_named() -> None:
    census, _ = _with_a_variable()
    assert census.counts["list"][_own("_with_a_variable.mine")] == 100


def _with_a_variable() -> tuple[Census, list[int]]:
    """Without an assert: pytest writes `locals()` into functions that have one."""
    mine = list(ITEMS)
    return CensusTaker().take(), mine


def test_a_variable_lives_no_longer_for_having_been_read() -> None:
    """In CPython below 3.13 the frame would keep what `f_locals` copied."""
    was_read, is_alive = _drops_its_variable()
    assert was_read
    assert not is_alive


def _drops_its_variable() -> tuple[bool, bool]:
    kept = Store()
    watched = weakref.ref(kept)
    was_read = _of_the_caller().get("kept") is kept
    CensusTaker().take()
    del kept
    gc.collect()
    return was_read, watched() is not None


def _of_the_caller() -> dict[str, Any]:
    return locals_of(sys._getframe(1))


def test_a_function_that_holds_its_locals_is_not_read() -> None:
    """The dict that it took would be filled anew under its hands."""
    seen: list[dict[str, Any]] = []

    def careful() -> None:
        own = locals()
        own.pop("name", None)
        name = "later"
        CensusTaker(only=[]).take()
        seen.append(dict(own))
        assert name

    careful()
    assert "name" not in seen[0]


async def _waits(event: asyncio.Event) -> list[int]:
    rows = list(ITEMS)
    await event.wait()
    return rows


def test_tasks_are_counted_by_their_coroutine_and_their_variables_named() -> None:
    async def main() -> Census:
        event = asyncio.Event()
        tasks = [asyncio.ensure_future(_waits(event)) for _ in range(5)]
        await asyncio.sleep(0)
        census = CensusTaker().take()
        event.set()
        await asyncio.gather(*tasks)
        return census

    census = asyncio.run(main())
    assert census.counts["task"][_own("_waits")] == 5
    assert census.counts["list"][_own("_waits.rows")] == 500


class Gate:
    """Keeps an event that tasks wait for by themselves."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()

    def leave_waiting(self) -> asyncio.Task[Any]:
        """The leak of a timer: a task for each tick, of a coroutine that is asyncio's own."""
        return asyncio.ensure_future(self._opened.wait())

    async def numbers(self) -> AsyncIterator[int]:
        await self._opened.wait()
        yield 1


async def _reads(gate: Gate) -> None:
    async for _ in gate.numbers():
        pass


async def _census_with(*waiting: Any) -> tuple[Census, Census]:
    """Two of them, the second with more tasks of the same kinds."""
    tasks = []
    found: list[Census] = []
    for _ in range(2):
        tasks += [asyncio.ensure_future(make()) for make in waiting for _ in range(20)]
        await asyncio.sleep(0.001)
        found.append(CensusTaker(found[-1] if found else None).take())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found[0], found[1]


def test_a_task_that_begins_in_asyncio_is_named_by_the_first_coroutine_that_does_not() -> None:
    """The library's own helps nobody; what it waits in is told beside."""

    async def main() -> tuple[Census, Census]:
        event = asyncio.Event()

        def closing() -> Any:
            stack = contextlib.AsyncExitStack()
            stack.push_async_callback(_waits, event)
            return stack.aclose()

        return await _census_with(closing)

    _, census = asyncio.run(main())
    assert census.counts["task"][_own("_waits")] == 40
    note = census.detail("task", _own("_waits")).note
    assert f"waits at {__file__}:" in note
    assert "awaits asyncio.locks.Event.wait" in note
    assert note.endswith("within contextlib.AsyncExitStack.aclose")


def test_the_wait_of_an_asynchronous_generator_belongs_to_who_reads_it() -> None:
    """And the line is the generator's own, where it waits."""

    async def main() -> tuple[Census, Census]:
        gate = Gate()
        return await _census_with(lambda: _reads(gate))

    _, census = asyncio.run(main())
    assert census.counts["task"][_own("_reads")] == 40
    line = Gate.numbers.__code__.co_firstlineno + 1
    note = census.detail("task", _own("_reads")).note
    assert note == f"waits at {__file__}:{line}, awaits asyncio.locks.Event.wait"


def test_a_task_that_nothing_leads_to_is_counted() -> None:
    """It waits for a future that only it knows; asyncio's own list of tasks is weak."""

    async def alone() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> Census:
        for _ in range(5):
            asyncio.ensure_future(alone())  # noqa: RUF006  # that nobody keeps it is the point
        await asyncio.sleep(0)
        gc.disable()
        census = CensusTaker().take()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        gc.enable()
        return census

    name = "test_a_task_that_nothing_leads_to_is_counted.alone"
    assert asyncio.run(main()).counts["task"][_own(name)] == 5


def test_a_task_that_is_asyncio_s_own_is_named_by_whose_event_it_waits_for() -> None:
    """Nothing else of it tells where to look."""

    async def main() -> Census:
        gate = Gate()
        before: Census | None = None
        for _ in range(2):
            for _ in range(50):
                gate.leave_waiting()
            await asyncio.sleep(0)
            before = CensusTaker(before).take()
        gate._opened.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        assert before is not None
        return before

    census = asyncio.run(main())
    name = f"asyncio.locks.Event.wait of {_own('Gate._opened')}"
    assert census.counts["task"][name] == 100
    assert "._opened" in census.detail("task", name).chain


def test_threads_are_counted_by_what_they_run() -> None:
    """The target, not the number in the name."""
    event = threading.Event()

    def work() -> None:
        event.wait(30)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        census = CensusTaker(only=[]).take()
    finally:
        event.set()
        for thread in threads:
            thread.join()
    assert census.counts["thread"][_own("test_threads_are_counted_by_what_they_run.work")] == 3


def test_the_chain_leads_from_a_root_to_the_object_by_readable_steps() -> None:
    """The shortest way first."""
    module = ModuleType("shop")
    module.store = store = Store()  # type: ignore[attr-defined]
    module.deep = [[[store]]]  # type: ignore[attr-defined]
    target = store._by_id[7] = list(ITEMS)
    root = [("module shop", vars(module))]
    before = CensusTaker(only=root).take()
    target += ITEMS
    found = CensusTaker(before, only=root).take().detail("list", _own("Store._by_id[…]"))
    assert found.chain == ("module shop", ".store", "._by_id", "[7]")


def test_to_ask_whether_a_dict_is_an_object_s_own_does_not_list_it() -> None:
    """It may be the largest of the program: a list of it would take as much and hold the GIL."""
    large = dict.fromkeys(range(200_000))
    tracemalloc.start()
    try:
        assert not is_own_dict(Store(), large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_an_attribute_that_no_code_can_spell_is_not_shown() -> None:
    """It is data: an address, a token, as many of them as there are users, or far too long."""
    store = Store()
    for name in ("anna@example.org", "x" * 100_000):
        setattr(store, name, list(ITEMS))
    assert vars(store)
    found = names(store)
    # Since 3.13 no dict stands between, and no code of the class knows the name.
    assert found.keys() & {_own("Store.…"), _own("Store.<list>")}
    assert not [name for name in found if "anna" in name or len(name) > 1000]


def test_a_large_cache_in_an_item_is_not_listed_to_weigh_it() -> None:
    """A bounded one refers to each of its entries by itself."""
    cached = functools.lru_cache(maxsize=1 << 20)(str)
    for place in range(20_000):
        cached(place)
    tracemalloc.start()
    try:
        mean_bytes([(cached,), (1,)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
