"""Containers that know their bytes, keep a bound, and shrink when asked."""
