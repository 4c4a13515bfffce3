"""How a program ends under `membudget run`: as it does without, whatever ended it."""

import sys
import textwrap
from pathlib import Path

import pytest

from commands import ended, run_python

ENDS = {
    "an interrupt": "raise KeyboardInterrupt",
    "Ctrl-C": "import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()",
    "a loop's interrupt": """
        import asyncio, os, signal
        async def main():
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "an interrupt beside a thread": """
        import threading, time
        threading.Thread(target=time.sleep, args=(1.2,)).start()  # Samples come meanwhile.
        raise KeyboardInterrupt
    """,
    "an interrupt at exit": """
        import atexit
        @atexit.register
        def interrupt(): raise KeyboardInterrupt
    """,
    "a handler's exit": """
        import os, signal, sys
        signal.signal(signal.SIGINT, lambda *_: sys.exit(33))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    """,
    "an exit at exit": "import atexit, sys; atexit.register(sys.exit, 5)",
    "words": "raise SystemExit('words')",
    "an error": "1/0",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM); signal.pause()",
    "a hard exit": "import os; os._exit(9)",
    "workers' interrupts": """
        import multiprocessing, os, signal
        def work(): os.kill(os.getpid(), signal.SIGINT)
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
        print(worker.exitcode)
        if os.fork() == 0:
            raise KeyboardInterrupt
        print(os.wait()[1])
    """,
}


@pytest.mark.parametrize(
    ("end", "options"), [*((end, ()) for end in ENDS), ("Ctrl-C", ("--brake",))]
)
def test_a_program_ends_as_without_us(end: str, options: tuple[str, ...]) -> None:
    """By the same signal, or with the same code; and its children too."""
    text = textwrap.dedent(ENDS[end])
    plain = ended([sys.executable, "-c", text])
    ours = run_python(text, "--limit", "400MiB", *options)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)


def test_nothing_is_imported_or_compiled_once_the_program_has_ended(tmp_path: Path) -> None:
    """With all that there is to be ended: what `exec` does by then, the interpreter forgets."""
    text = """
        import atexit, os, sys
        def look(event, arguments, seen=[]):
            if event == "ended":
                seen.append(event)
            elif seen and event in ("import", "compile", "exec"):
                os.write(1, f"{event} {arguments[0]}\\n".encode())
        sys.addaudithook(look)
        atexit.register(sys.audit, "ended")
    """
    (tmp_path / "reports").mkdir()
    result = run_python(
        textwrap.dedent(text), "--limit", "400MiB", "--brake",
        "--set", f"monitoring.history_file={tmp_path / 'history'}",
        "--set", f"report.directory={tmp_path / 'reports'}",
        "--set", "emergency.exit=true",
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "")
    assert " peak " in result.stderr
