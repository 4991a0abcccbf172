"""The tables of docs/reference.md: exceptions, signals, and the commands with their options, from the code."""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import re
from collections.abc import Iterator

from django.core.management import load_command_class

from mail_oauth import exceptions, signals


def _plain(text: str) -> str:
    """A docstring in one line; a bar in it ends no cell."""
    return " ".join(text.split()).replace("``", "`").replace("|", r"\|")


def exceptions_table() -> str:
    """Every exception, what it derives from, and what it means."""
    rows = ["| exception | is a | meaning |", "|---|---|---|"]
    for name, each in vars(exceptions).items():
        if isinstance(each, type) and each.__module__ == exceptions.__name__:
            parents = ", ".join(f"`{base.__name__}`" for base in each.__bases__)
            rows.append(f"| `{name}` | {parents} | {_plain(each.__doc__ or '')} |")
    return "\n".join(rows)


def signals_table() -> str:
    """Every signal, and when it is sent."""
    tree = ast.parse(inspect.getsource(signals)).body
    rows = ["| signal | sent when |", "|---|---|"]
    for node, doc in itertools.pairwise(tree):
        if isinstance(node, ast.Assign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
            [target] = node.targets
            rows.append(f"| `{ast.unparse(target)}` | {_plain(str(doc.value.value))} |")
    return "\n".join(rows)


def _actions() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    command = load_command_class("mail_oauth", "mail_oauth")
    parser = command.create_parser("manage.py", "mail_oauth")
    [actions] = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    told = {each.dest: each.help or "" for each in actions._choices_actions}
    for name, action in actions.choices.items():
        yield name, told[name], action


def commands_table() -> str:
    """Every action of `manage.py mail_oauth`, and its options."""
    django = {each.dest for each in _django_options()}
    rows = ["| `manage.py mail_oauth` | does | options |", "|---|---|---|"]
    for name, told, parser in _actions():
        shown = [each for each in parser._actions if each.dest not in django]
        options = "; ".join(f"`{_name(each)}` {_plain(str(each.help)) % vars(each)}" for each in shown)
        rows.append(f"| `{name}` | {_plain(told)} | {options} |")
    return "\n".join(rows)


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest.upper())
    taken = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return f"{action.option_strings[-1]}{taken}".replace("|", " or ")  # no other cell begins there


def _django_options() -> list[argparse.Action]:
    """Those that every command has."""
    parser = load_command_class("django.core", "check").create_parser("manage.py", "check")
    return [
        each
        for each in parser._actions
        if re.search("help|version|verbosity|settings|pythonpath|traceback|color|skip", each.dest)
    ]


TABLES = {"exceptions": exceptions_table, "signals": signals_table, "commands": commands_table}
"""By the name of their place on the page."""
