"""Whether this Python warns of forks with threads that began only after the fork."""

import subprocess
import sys
from functools import cache

STARTS_A_THREAD_AFTERWARDS = """
import os, threading
wait = threading.Event().wait
start = threading.Thread(target=wait, daemon=True).start
os.register_at_fork(after_in_parent=start)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""


@cache
def warned_too_late() -> str | None:
    """Why warnings about forks say nothing here, or None where they count what was there before."""
    argv = [sys.executable, "-W", "always", "-c", STARTS_A_THREAD_AFTERWARDS]
    bare = subprocess.run(argv, check=True, capture_output=True, text=True)
    if "multi-threaded" not in bare.stderr:
        return None
    return "this Python warns of threads started after the fork (CPython gh-137109)"
