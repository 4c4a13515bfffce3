"""Evicted values on disk, and their way there and back."""
