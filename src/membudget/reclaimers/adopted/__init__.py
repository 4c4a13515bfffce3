"""Caches that the program made by other means than ours: what is not known to be safe stays."""
