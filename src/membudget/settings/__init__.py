"""From arguments and environment to checked values, and where each came from."""
