"""Starts a Jupyter kernel as a notebook does, runs cells in it and prints what they show.

    python kernel_client.py CELLS COMMAND...

COMMAND starts the kernel; it goes into a kernel.json of its own. The first line has the kernel's
process id; it goes on at the end of a line on standard input and runs so many cells. The last line
has the seconds that they took; the kernel is shut down at the end of a second line.
"""
# ruff: noqa: T201 - a program's output

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

_PATIENCE = 60


def show(message: dict[str, Any]) -> None:
    """Print the parts of a message that a notebook would show."""
    content = message["content"]
    if message["msg_type"] == "stream":
        print(content["name"], repr(content["text"]))
    elif message["msg_type"] == "execute_result":
        print(content["execution_count"], content["data"]["text/plain"])
    elif message["msg_type"] == "error":
        print(content["ename"], content["evalue"])


def main(cells: int, command: list[str], folder: str) -> None:
    (Path(folder) / "kept").mkdir()
    argv = [*command, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "kept", "language": "python"}
    (Path(folder) / "kept" / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[folder])
    manager = KernelManager(kernel_name="kept", kernel_spec_manager=specs)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_PATIENCE)
        run = client.execute_interactive
        run("import os; os.getpid()", timeout=_PATIENCE, output_hook=show)
        sys.stdout.flush()
        sys.stdin.readline()
        began = time.monotonic()
        for number in range(cells):
            run(f"x = {number}; print(x); x / 2", timeout=_PATIENCE, output_hook=show)
        took = time.monotonic() - began
        run("1 / 0", timeout=_PATIENCE, output_hook=show)
        print(took, flush=True)
        sys.stdin.readline()
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(int(sys.argv[1]), sys.argv[2:], place)
