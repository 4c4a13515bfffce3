"""Run by its folder: `python -I -S .../restart DELAY LOW COMMAND PROGRAM [ARGUMENTS]`."""

import os
import sys

if __name__ == "__main__":
    # Behind the standard library: a file beside this one must not hide one of its modules.
    here: str = sys.path.pop(0)
    sys.path.append(os.path.abspath(os.path.join(here, "..", "..", "..")))
    from membudget.cli.restart import main

    try:
        code: int = main(sys.argv[1:])
    except KeyboardInterrupt:  # Before it takes signals there is no program to pass them on to.
        code = 130
    sys.exit(code)
