"""The probes: where readings come from, and functions that combine them."""
