"""What a process looks like over a day: samples taken, kept packed, and kept over a restart."""
