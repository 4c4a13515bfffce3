"""The memory groups that the tests use, for a bench that runs as a script."""

from __future__ import annotations

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))

from cgroup_v1 import LimitedGroup, limited_group, unavailable

__all__ = ["LimitedGroup", "limited_group", "unavailable"]
