"""Starts a budget in a program launched by `membudget run`, before the program begins.

Found through PYTHONPATH by every Python that the launched command starts. Where membudget cannot
be imported (another interpreter, another environment) it stays silent: the program is not ours.
"""

import os
import sys


def _load_next() -> None:
    """Load the sitecustomize that this one hides, if the program's environment has one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _launch() -> None:
    try:
        from membudget.budget.launch import start_launched
    except ImportError:
        return
    start_launched()


try:
    _launch()
finally:
    _load_next()
