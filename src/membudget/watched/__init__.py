"""Containers that are not ours, looked at from time to time and kept under a limit."""
