"""Values fetched once for all who ask: `cached`, `get_or_load`, and who waits for whom."""
