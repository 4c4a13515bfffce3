"""The examples run and answer as their first lines say."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from commands import clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 100.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str) -> Any:
    """The JSON answer of a loopback server, once it listens."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE
            ) as got:  # loopback
                return json.load(got)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_the_price_service_answers_and_tells_its_memory() -> None:
    """Prices are remembered, big answers admitted, and memory is told in figures."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "price_service.py"), str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as server:
        first = ask(port, "EURUSD")
        assert ask(port, "EURUSD") == first
        assert len(ask(port, "history/EURUSD")["bars"]) == 24 * 60
        memory = ask(port, "_memory")
        assert memory["limit"] == 400 << 20
        assert memory["entries"] == 1
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=PATIENCE)
        assert "hits=1" in out
