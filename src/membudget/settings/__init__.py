"""From arguments, environment and file to checked values, and where each came from."""
