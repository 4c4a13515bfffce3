"""A guest with a kernel of its own, User-Mode Linux: for what this machine's kernel may not have.

The guest is an ordinary process that boots in seconds and works on this machine's own files, with
one processor and its memory in a file. Its page faults cost many times what they cost outside.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

MEMORY = 768 << 20
SWAP = 128 << 20
_UP = "the guest is up"

_INIT = f"""#!/bin/bash -e
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
grep -q ' /dev devtmpfs ' /proc/mounts || mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
ln -sfn /proc/self/fd /dev/fd
mount -t cgroup2 cgroup /sys/fs/cgroup
mkswap /dev/ubda > /run/swap
swapon /dev/ubda
echo '{_UP}'
"""


class NoGuestError(Exception):
    """No guest can be had here; the text is the reason."""


def run_in_guest(command: Sequence[str], environment: Mapping[str, str], timeout: float) -> str:
    """Boot a guest, run a command there as root, in this working directory, halt: what it printed.

    Beside the environment it has a PATH and a HOME; the seconds are for all of it.
    """
    kernel = shutil.which("linux.uml") or shutil.which("linux")
    if kernel is None:
        raise NoGuestError("User-Mode Linux is missing: apt-get install user-mode-linux")
    with tempfile.TemporaryDirectory(prefix="membudget-guest-") as folder:
        init, swap, console = (Path(folder, name) for name in ("init", "swap", "console"))
        settings = [f"{name}={text}" for name, text in environment.items()]
        init.write_text(
            f"{_INIT}cd {shlex.quote(os.getcwd())}\n"
            f"{shlex.join(['env', *settings, *command])} < /dev/null || true\n"
            "halt -f -p\n"
        )
        init.chmod(0o755)
        with swap.open("wb") as file:
            file.truncate(SWAP)
        arguments = [
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"),
            *(f"mem={MEMORY >> 20}M", f"ubda={swap}", "con=null", "con0=null,fd:1", "quiet"),
        ]
        # Its memory is a file that it maps to execute, and its sockets are kept in HOME.
        surroundings = {**os.environ, "HOME": folder, "TMPDIR": _roomy_folder() or folder}
        with (
            console.open("wb") as out,
            subprocess.Popen(
                [kernel, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=surroundings,
                start_new_session=True,
            ) as guest,
        ):
            try:
                guest.wait(timeout)
            except subprocess.TimeoutExpired:
                out.write(f"\nstill running after {timeout} s".encode())
            finally:
                if guest.poll() is None:
                    os.killpg(guest.pid, signal.SIGKILL)
        printed = console.read_text(errors="replace").replace("\r", "")
    _, is_up, told = printed.partition(_UP)
    if not is_up:
        raise NoGuestError(f"{kernel} does not come up here: {printed[-2000:]}")
    return told


def _roomy_folder() -> str | None:
    """A file system in memory where the guest's fits, or None: containers have it small."""
    try:
        shm = os.statvfs("/dev/shm")  # noqa: S108  # a file system, not a file's name
    except OSError:
        return None
    if shm.f_flag & os.ST_NOEXEC or shm.f_bavail * shm.f_frsize < MEMORY:
        return None
    return "/dev/shm"  # noqa: S108
