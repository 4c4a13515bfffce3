"""The program that the tests use, for a bench that runs as a script."""

from __future__ import annotations

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
sys.path.append(os.path.join(sys.path[-1], "integration"))

from brake_program import braked, outcome_of

__all__ = ["braked", "outcome_of"]
