"""The ready-made assembly: `start()` finds the limit, wires the parts and returns a `Budget`."""
