"""Containers bounded in items and bytes: list, deque, dict, set, metrics, weak cache."""
