"""Whether a test may mount file systems of its own."""

import os
import shutil
import subprocess
from pathlib import Path


def can_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here that nobody else sees."""
    if os.name != "posix" or os.geteuid() or not shutil.which("unshare"):
        return False
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0
