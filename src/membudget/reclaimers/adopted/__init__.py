"""Caches that the program made by other means than ours, and what may be done to each.

Refusal is the default: what is not known to be safe is left alone and listed.
"""
