"""Settings of somebody else's, read as they stand: YAML, JSON, TOML, or literals in Python."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from membudget.errors import ConfigError
from membudget.settings.file import Unreadable, text_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".py")
_DEEPEST, _MOST = 64, 10_000  # Of what is nested, and of the values of a file.
_FOLDED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}
_LARGE = 1024  # What is beyond it is raised to no power.


def read_foreign(path: str) -> Any:
    """What a file holds; a ConfigError where it cannot be read."""
    try:
        text = text_of(path, "the path", _SUFFIXES)
        if path.endswith(".json"):
            import json

            return json.loads(text)
        if path.endswith(".toml"):
            import tomllib

            return tomllib.loads(text)
        if path.endswith(".py"):
            return _python(text)
        import yaml

        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # it is one
    except Unreadable as error:
        reason = str(error)
    except (ValueError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        reason = _unparsed(path, error)
    except Exception as error:
        import yaml

        if not isinstance(error, yaml.YAMLError):
            raise
        reason = _unparsed(path, error)
    raise ConfigError(f"{one_line(path, 200)}: {reason}")


def _unparsed(path: str, error: BaseException) -> str:
    kind = path.rpartition(".")[2].upper()
    return f"is not {kind} ({one_line(error, 200)}): give the file as its program reads it"


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Each value and its path; lists of mappings are numbered, others are values."""
    found: list[tuple[tuple[str, ...], Any]] = []
    _gather(value, path, found)
    return found


def _gather(value: Any, path: tuple[str, ...], found: list[tuple[tuple[str, ...], Any]]) -> None:
    if len(path) > _DEEPEST or len(found) >= _MOST:
        raise ConfigError(f"holds more than {_MOST:,} values, or is nested too deep: cut it down")
    inner: Any = None
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
        inner = enumerate(value)
    if inner is None:
        found.append((path, value))
        return
    for key, one in inner:
        _gather(one, (*path, one_line(key)), found)


def _python(text: str) -> Any:
    """What a module, its classes and its dicts give names to; or the one literal that it is."""
    body = ast.parse(text).body
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return _folded(body[0].value)
    return dict(_assigned(body))


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, Any]]:
    for one in body:
        if isinstance(one, ast.ClassDef):
            yield one.name, dict(_assigned(one.body))
        elif isinstance(one, (ast.Assign, ast.AnnAssign)) and one.value is not None:
            target = one.targets[0] if isinstance(one, ast.Assign) else one.target
            yield ast.unparse(target), _folded(one.value)


def _folded(node: ast.expr) -> Any:
    """A literal's value, sums of numbers worked out; else its source as text."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {"**" if key is None else str(_folded(key)): _folded(one) for key, one in pairs}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_folded(one) for one in node.elts]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
        return {str(one.arg or "**"): _folded(one.value) for one in node.keywords}
    try:
        return node.value if isinstance(node, ast.Constant) else _worked_out(node)
    except (TypeError, ArithmeticError):
        return ast.unparse(node)


def _worked_out(node: ast.expr) -> Any:
    """The number that a sum of numbers comes to; a TypeError for anything else."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worked_out(node.operand)
    fold = _FOLDED.get(type(node.op)) if isinstance(node, ast.BinOp) else None
    if fold is None or not isinstance(node, ast.BinOp):
        raise TypeError
    left, right = _worked_out(node.left), _worked_out(node.right)
    if fold in (operator.pow, operator.lshift) and max(abs(left), abs(right)) > _LARGE:
        raise TypeError
    return fold(left, right)
