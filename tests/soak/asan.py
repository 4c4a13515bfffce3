"""The other programs on a compiled core that checks each of its own reads, writes and sums.

    PYTHONPATH=src python tests/soak/asan.py --steps 20000 [--only hostile]

Builds the core with gcc's AddressSanitizer and UndefinedBehaviorSanitizer into a temporary folder,
beside a copy of the package. Each program runs twice: there, with all objects from plain malloc;
and on the core as it is, with the interpreter's allocators in their debug mode. Nothing in src is
touched.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from glob import glob

HERE = os.path.dirname(os.path.abspath(__file__))

PROGRAMS = ("hostile", "cycles", "starve", "growth", "steady", "hammer")

SHARES = {"cycles": 0.02, "growth": 20, "steady": 20, "starve": 0.3}
"""Steps of a program for each step asked for: they are of different length."""

FLAGS = ("-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1")

REPORT = re.compile(r"ERROR: AddressSanitizer|runtime error:|Debug memory block|Fatal Python error")


def unavailable() -> str | None:
    """Why this machine cannot do it, or None."""
    if shutil.which("gcc") is None:
        return "there is no gcc"
    if not os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        return "there are no headers of this interpreter"
    if runtime() is None:
        return "gcc has no libasan"
    return None


def runtime() -> str | None:
    """Where libasan is, or None."""
    asked = ["gcc", "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return found if os.path.isfile(found) else None


def sources() -> str:
    """The package's folder."""
    import membudget

    return os.path.dirname(os.path.abspath(str(membudget.__file__)))


def build(folder: str) -> None:
    """Copy the package into a folder, and compile the core there.

    Raises:
        subprocess.CalledProcessError: It does not compile.
    """
    package = os.path.join(folder, "membudget")
    shutil.copytree(sources(), package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    native = os.path.join(package, "_native")
    target = os.path.join(native, f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
    command = ["gcc", "-shared", "-fPIC", "-fvisibility=hidden", *FLAGS]
    command += [f"-I{sysconfig.get_paths()['include']}", *sorted(glob(f"{native}/*.c"))]
    subprocess.run([*command, "-o", target], check=True)


def environment(folder: str | None) -> dict[str, str]:
    """The environment of a program: on the core in a folder, or in debug mode on ours."""
    kept = {name: text for name, text in os.environ.items() if name != "MEMBUDGET_PURE"}
    if folder is None:
        return {**kept, "PYTHONMALLOC": "debug", "PYTHONPATH": os.path.dirname(sources())}
    return {
        **kept,
        "PYTHONPATH": folder,
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(runtime()),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0",
    }


def check(program: str, given: argparse.Namespace, folder: str | None) -> bool:
    """Run one program; returns whether nothing was found. Tells what came of it."""
    steps = max(200, int(given.steps * SHARES.get(program, 1)))
    command = [sys.executable, os.path.join(HERE, f"{program}.py")]
    command += [f"--steps={steps}", f"--seed={given.seed}"]
    if given.policy is not None:
        command.append(f"--policy={given.policy}")
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(folder), check=False
    )
    found = len(REPORT.findall(done.stderr))
    way = "sanitized" if folder is not None else "debug malloc"
    lines = done.stdout.splitlines() or ["nothing was written"]
    sys.stdout.write(f"{way}: exit {done.returncode}, {found} reports; {lines[-1]}\n")
    sys.stdout.flush()
    if done.returncode != 0 or found:
        sys.stderr.write(done.stderr[-20_000:])
    return done.returncode == 0 and not found


def main() -> int:
    """Run by hand; returns the exit code: 2 where this machine cannot do it."""
    parser = argparse.ArgumentParser(description="The other programs on a core that checks itself.")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy")
    parser.add_argument("--only", choices=PROGRAMS, help="one program; else each")
    given = parser.parse_args()
    why = unavailable()
    if why is not None:
        sys.stdout.write(f"asan: {why}\n")
        return 2
    programs = PROGRAMS if given.only is None else (given.only,)
    with tempfile.TemporaryDirectory() as folder:
        build(folder)
        is_sound = [check(program, given, way) for program in programs for way in (folder, None)]
    verdict = "sound" if all(is_sound) else "WRONG"
    sys.stdout.write(f"asan: {len(is_sound)} runs of {len(programs)} programs: {verdict}\n")
    return 0 if all(is_sound) else 1


if __name__ == "__main__":
    sys.exit(main())
