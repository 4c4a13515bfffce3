"""The report of a day: samples in, and text, JSON or one HTML page out."""
