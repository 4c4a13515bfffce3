"""Starts a budget in a program launched by `membudget run`, before the program begins.

Found through PYTHONPATH by each Python that the command starts; one without membudget is lent ours.
Where no budget starts, that is said once for all of them. The import system is then left as it
would be without it, with the sitecustomize that it hid. Written in what every Python understands.
"""

import gc
import os
import sys

_OLDEST = (3, 11)

_self = sys.modules.pop(__name__, None)  # Kept, since Python 2 empties a module that nobody holds.
_here = os.path.dirname(os.path.abspath(__file__))
_package = os.path.dirname(_here)
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here]


class _Lender:
    """Finds our package by where this file lies, and nothing else, while that is imported.

    In a pex, which takes out what it did not import, it stays and puts back what runs already.
    """

    running = {}  # type: ignore[var-annotated]

    @classmethod
    def find_spec(cls, name, _path=None, _target=None):
        if name != "membudget":
            return None
        from importlib.machinery import ModuleSpec, SourceFileLoader

        file = os.path.join(_package, "__init__.py")
        spec = ModuleSpec(name, SourceFileLoader(name, file), origin=file, is_package=True)
        if cls.running:
            spec.loader = cls  # type: ignore[assignment]  # it has what is called
        spec.submodule_search_locations = [_package]
        spec.has_location = True
        return spec

    @classmethod
    def keep(cls):
        for name, module in list(sys.modules.items()):
            if name == "membudget" or name.startswith("membudget."):
                cls.running[name] = module

    @classmethod
    def create_module(cls, spec):
        for name, module in cls.running.items():
            if hasattr(module, "__path__"):
                module.__path__[:] = [os.path.dirname(module.__file__)]
            sys.modules.setdefault(name, module)
        return cls.running[spec.name]

    @staticmethod
    def exec_module(module):
        """It runs."""


def _why_not():
    """Start the budget; "" where one runs, else why not, or None where that was said already."""
    version = ".".join(map(str, sys.version_info[:3]))
    lending = os.environ.get("MEMBUDGET_LAUNCH_LEND")
    try:
        if lending != "no" and sys.version_info >= _OLDEST:
            sys.meta_path.append(_Lender)
        try:
            from membudget.budget.launch import start_launched
        finally:
            if lending != "pex" and _Lender in sys.meta_path:
                sys.meta_path.remove(_Lender)
    except Exception as error:  # noqa: BLE001  # whatever goes wrong, the program is not to suffer
        if sys.version_info < _OLDEST:
            return (
                "%s is Python %s; membudget needs %d.%d; run the program by a newer Python, or"
                " set the limit of a cgroup" % ((sys.executable, version) + _OLDEST)
            )
        return (
            "%s, Python %s, cannot import membudget (%s: %s); install it there: %s -m pip "
            "install membudget"
            % (sys.executable, version, type(error).__name__, error, sys.executable)
        )
    try:
        is_kept = start_launched() is not None
    except Exception as error:  # noqa: BLE001  # likewise
        return "no budget for this process: " + repr(error)
    if lending == "pex":
        _Lender.keep()
    return "" if is_kept else None


def _say(text):
    """Once for all processes of a launch."""
    mark = os.environ.get("MEMBUDGET_LAUNCH_TREE")
    if mark:
        try:
            os.close(os.open(mark + ".unreached", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:
            if os.path.exists(mark + ".unreached"):
                return
    if sys.stderr is not None:
        sys.stderr.write("membudget: " + text + "\n")
        sys.stderr.flush()


_collects = gc.isenabled()
gc.disable()  # What is loaded here stays: looking through it would take a tenth of the start.
_reason = _why_not()
if _collects:
    gc.enable()
if _reason != "" and "MEMBUDGET_LAUNCH" in os.environ:
    if _reason:
        _say(_reason)
    if os.environ.get("MEMBUDGET_LAUNCH_REQUIRE") in (str(os.getpid()), "below %d" % os.getppid()):
        os._exit(64)

__import__("sitecustomize")  # Where there is none, its error is the one that `site` expects.
