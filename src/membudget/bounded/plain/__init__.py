"""The table in plain Python: the compiled one's twin, for where it could not be built."""
