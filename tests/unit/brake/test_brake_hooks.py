"""What the brake leaves in the interpreter for good: its audit hook."""

import subprocess
import sys

PROGRAM = """
import sys
from membudget.brake import hooks

class Listener:
    def before_child(self): ...
    before_thread = on_memory_error = before_child

listener = Listener()
hooks.listen(listener)
hooks.ignore(listener)
names = vars(hooks)
for name in [name for name in names if not name.startswith("__")]:
    names[name] = None  # as the interpreter does when it ends
sys.audit("os.system", "true")
"""


def test_events_at_the_interpreters_end_say_nothing() -> None:
    """The names of modules are gone by then, and the hook is not."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
