"""What the app writes into the log, read from its code: which action, at which level, in which words, with which keys."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.documentation.blocks import ROOT

APP = ROOT / "mail_oauth"
LEVELS = ("debug", "info", "warning", "error", "exception")


@dataclass
class Record:
    """One call of a logger; `levels` are those it may have."""

    place: str
    levels: tuple[str, ...]
    message: str
    actions: tuple[str, ...] = ()
    keys: set[str] = field(default_factory=set)


def records() -> list[Record]:
    """Every call of a logger in the app; its testing kit is not the app."""
    files = [path for path in sorted(APP.rglob("*.py")) if "testing" not in path.relative_to(APP).parts]
    return [record for path in files for record in Module(path).records()]


class Module:
    """One module of the app."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.functions = {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)}

    def records(self) -> Iterator[Record]:
        for function in self.functions.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and _is_of_logger(node.func):
                    yield self._record(node, function)

    def _record(self, call: ast.Call, function: ast.FunctionDef) -> Record:
        assert isinstance(call.func, ast.Attribute)
        how = call.func.attr
        message = call.args[1 if how == "log" else 0]
        assert isinstance(message, ast.Constant), ast.unparse(call)
        levels = self._levels(call.args[0], function) if how == "log" else (how.replace("exception", "error"),)
        record = Record(f"{self.path.relative_to(ROOT)}:{call.lineno}", levels, str(message.value))
        for keyword in call.keywords:
            if keyword.arg == "extra":
                self._read(keyword.value, function, record)
        return record

    def _levels(self, level: ast.expr, function: ast.FunctionDef) -> tuple[str, ...]:
        """The levels that a variable of the function may have."""
        assert isinstance(level, ast.Name)
        value = _assigned(level.id, function)
        names = [node.attr for node in ast.walk(value) if isinstance(node, ast.Attribute)]
        return tuple(sorted(name.lower() for name in names if name.lower() in LEVELS))

    def _read(self, value: ast.expr, function: ast.FunctionDef, record: Record) -> None:
        """Take the keys of an expression that makes a dict."""
        if isinstance(value, ast.Name):
            self._read(_assigned(value.id, function), function, record)
        elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
            for part in (value.left, value.right):
                self._read(part, function, record)
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "asdict":
            record.keys |= self._fields_of_report()
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            maker = self.functions[value.func.id]
            [given] = [node.value for node in ast.walk(maker) if isinstance(node, ast.Return) and node.value]
            self._read(given, maker, record)
        else:
            assert isinstance(value, ast.Dict), ast.unparse(value)
            for key, item in zip(value.keys, value.values, strict=True):
                if key is None:
                    self._read(item, function, record)
                    continue
                assert isinstance(key, ast.Constant)
                record.keys.add(str(key.value))
                if key.value == "action":
                    record.actions = self._actions(item, function)

    def _actions(self, value: ast.expr, function: ast.FunctionDef) -> tuple[str, ...]:
        if isinstance(value, ast.Constant):
            return (str(value.value),)
        assert isinstance(value, ast.Name)
        place = [argument.arg for argument in function.args.args].index(value.id)
        calls = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == function.name]
        return tuple(sorted(ast.literal_eval(call.args[place]) for call in made))

    def _fields_of_report(self) -> set[str]:
        """The fields of the one report that the module declares."""
        [report] = [
            node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef) and node.name.endswith("Report")
        ]
        return {
            node.target.id
            for node in report.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }


def _is_of_logger(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "logger"
        and function.attr in {*LEVELS, "log"}
    )


def _assigned(name: str, function: ast.FunctionDef) -> ast.expr:
    """The one value that a variable of a function is given."""
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            assert node.value is not None
            return node.value
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return node.value
    raise AssertionError(f"{function.name} gives {name} no value")
