"""The actions of `manage.py mail_oauth`, each a subcommand with a method of its own."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any


def add_action(actions: Any, name: str, method: Callable[[dict[str, Any]], None], what: str) -> ArgumentParser:
    """Declare an action among `actions` (what `add_subparsers` returned), and return its parser."""
    parser: ArgumentParser = actions.add_parser(name, help=what)
    parser.set_defaults(action=method)
    return parser
