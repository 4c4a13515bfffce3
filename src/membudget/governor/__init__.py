"""The loop, the ladder, admission and the last resort: what acts on the pressure."""
