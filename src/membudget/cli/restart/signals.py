"""Which signals the supervisor takes, and what it does itself with those that it passes on.

Every one that can be caught belongs to the program: what none of its own would do must not end or
stop the supervisor either. Those that a process brings on itself by a fault stay as they are.

A stop has two sides. The shell waits for the supervisor, so that has to stop where the program
does; yet many programs give the same signals a meaning of their own and run on. So the supervisor
stops when it has been sent such a signal and the program has stopped.

Sources: signal(7); core(5); si_code in sigaction(2).
"""

from __future__ import annotations

import os
import signal

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals after which the end of the program is the end."""

STOPPING = frozenset((signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
"""Signals that stop a program that does not handle them."""

_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGSYS,
}
_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}

TAKEN = frozenset(signal.valid_signals() - _FAULTS - _UNCATCHABLE)
"""All that is passed on, and SIGCHLD."""

_BY_TERMINAL = ENDING | STOPPING | {signal.SIGHUP, signal.SIGCONT, signal.SIGWINCH}
_BY_KERNEL = 0x80
"""si_code of what the kernel sends: SI_KERNEL."""


def is_from_terminal(taken: signal.struct_siginfo) -> bool:
    """Whether a terminal sent it, which tells a whole process group."""
    return taken.si_code == _BY_KERNEL and taken.si_signo in _BY_TERMINAL


def stop_by(number: int) -> None:
    """Stop by that signal, blocked so far, until somebody continues this process."""
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    signal.pthread_sigmask(signal.SIG_BLOCK, (number,))
