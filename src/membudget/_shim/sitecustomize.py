"""Starts a budget in a program launched by `membudget run`, before the program begins.

Found through PYTHONPATH by every Python that the launched command starts. Where membudget cannot
be imported (another interpreter, another environment) it stays silent: the program is not ours.

It then leaves the import system as it would be without it: off the path, and the sitecustomize
that it hid imported in its place. Where there is none, the error of that import is the one that
`site` expects. Written in what every Python understands.
"""

import os
import sys

_self = sys.modules.pop(__name__, None)  # Kept, since Python 2 empties a module that nobody holds.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here]
try:
    from membudget.budget.launch import start_launched
except (ImportError, SyntaxError):
    pass
else:
    try:
        start_launched()
    except Exception as error:  # noqa: BLE001  # whatever goes wrong, the program is not to suffer
        if sys.stderr is not None:
            sys.stderr.write("membudget: no budget for this process: " + repr(error) + "\n")

__import__("sitecustomize")
