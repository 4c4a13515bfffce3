"""Where events go: log lines, a ring of the latest, and combinations of them."""
