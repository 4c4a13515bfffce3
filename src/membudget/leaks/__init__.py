"""Leaks: the verdict over samples, the kind of growth, who grows, what to do about it; all pure."""
