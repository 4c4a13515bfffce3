"""Is present in a folder and answers until its input ends.

    python presence_program.py FOLDER [serve|fork|exec|daemon]

Prints the stem of each process that is present. With `fork` a child is present as well and stays
until its own input ends, with `exec` the program replaces itself once, with `daemon` it closes all
descriptors that are not standard ones and tells what became of the next ones.
"""

import os
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

from membudget.core import Hint, Pressure
from membudget.host import identity_of
from membudget.host.presence import Presence


def echo(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, and by whom it is answered."""
    return {**arguments, "pid": os.getpid()}


def be_present(presence: Presence) -> Hint:
    """Open, write, and say so."""
    hint = presence.open()
    write(presence)
    sys.stdout.write(identity_of().stem + "\n")
    sys.stdout.flush()
    return hint


def write(presence: Presence) -> None:
    presence.write(
        Pressure(used=os.getpid(), source="process"),
        peak=0,
        governed=0,
        reclaimed=0,
        wall=time.time(),
    )


def serve(hint: Hint) -> None:
    """Answer until the input ends."""
    poll = select.poll()
    poll.register(hint.fileno(), hint.events)
    poll.register(sys.stdin.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == sys.stdin.fileno():
                return
            hint.clear()


def live_as_daemon(presence: Presence, hint: Hint, folder: str) -> None:
    """Close everything, open files of its own, go on being present, end, and look at the files."""
    os.closerange(3, 1024)
    opened = [os.open(f"{folder}/../log{number}", os.O_RDWR | os.O_CREAT) for number in range(16)]
    write(presence)
    try:
        hint.clear()
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
    sys.stdin.read(1)
    write(presence)
    presence.leave()
    intact = sum(os.write(one, b"line\n") == 5 and os.fstat(one).st_size == 5 for one in opened)
    sys.stdout.write(f"{intact} of {len(opened)} files intact\n")


def main(folder: str, way: str = "serve") -> None:
    presence = Presence(folder, "program", lambda: {"echo": echo})
    hint = be_present(presence)
    if way == "fork":
        os.register_at_fork(after_in_child=presence.after_fork_in_child)
        if os.fork() == 0:
            hint = be_present(presence)
    elif way == "exec":
        os.execv(sys.executable, [sys.executable, __file__, folder])  # noqa: S606  # that is the point
    elif way == "daemon":
        live_as_daemon(presence, hint, folder)
        return
    serve(hint)
    presence.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
