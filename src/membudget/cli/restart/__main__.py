"""Run by its folder: `python -I -S .../restart DELAY LOW COMMAND PROGRAM [ARGUMENTS]`."""

import importlib
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_COMMANDS = os.path.dirname(_HERE)

if __name__ == "__main__":
    # Behind the standard library: a command's file must not hide one of its modules.
    sys.path[:] = [entry for entry in sys.path if entry != _HERE]
    sys.path += [_COMMANDS, os.path.dirname(os.path.dirname(_COMMANDS))]
    try:
        code = importlib.import_module(f"{os.path.basename(_HERE)}.supervisor").main(sys.argv[1:])
    except KeyboardInterrupt:  # Before it takes signals there is no program to pass them on to.
        code = 130
    sys.exit(code)
