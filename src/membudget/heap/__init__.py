"""Walks from roots, owners of objects, the census: what is there, and who holds it."""
