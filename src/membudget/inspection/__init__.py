"""Leaks at run time: samples taken and judged, suspects named, limits foreseen."""
