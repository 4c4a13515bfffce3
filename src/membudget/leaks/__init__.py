"""Leaks: the verdict over samples, the kind of growth, and what to do about it; all pure."""
