"""A program that prints what it finds of the interpreter it runs in."""
# ruff: noqa: T201 - a program's output

import gc
import os
import signal
import sys
import warnings


def main() -> None:
    handlers = {one.name: str(signal.getsignal(one)) for one in signal.Signals}
    print(sys.path, sys.argv, sys.orig_argv, sys.flags)
    print(sys.modules.get("sitecustomize"), sys.meta_path, len(sys.path_hooks))
    print(sys.excepthook, sys.unraisablehook, sys.getswitchinterval(), sys.getprofile())
    print({name: text for name, text in handlers.items() if text != "Handlers.SIG_DFL"})
    print(gc.get_threshold(), gc.callbacks, gc.isenabled(), gc.get_freeze_count())
    print(warnings.filters, sys.getrecursionlimit(), os.getcwd(), os.getpgrp() == os.getpid())


if __name__ == "__main__":
    main()
