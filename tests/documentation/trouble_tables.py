"""The tables of docs/troubleshooting.md, from the table of failures, the doctor's hints and `troubles`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from mail_oauth.refresh import classification
from mail_oauth.refresh.classification import CLIENT_AADSTS, CLIENT_ERRORS, LASTING, Action
from tests.documentation import troubles

WHO = {
    Action.REAUTH: "the user",
    Action.ADMIN: "their administrator",
    Action.OPERATOR: "you",
    Action.BUG: "you, or we",
    Action.RETRY: "nobody",
    Action.UNKNOWN: "you",
}

_TO_DO = {
    Action.REAUTH: "*Reconnect*.",
    Action.RETRY: "Nothing: it is tried again.",
}
"""What is done where nothing more is to be said."""


def _row(code: str, action: Action, words: tuple[str, str], *, client: bool, lasting: Action | None = None) -> str:
    from mail_oauth.upkeep.doctor.hints import HINTS  # models, which want Django set up

    meaning, more = words
    told = " ".join(filter(None, (HINTS.get(code), more))) or _TO_DO[action]
    who = WHO[action] + (" (all calls)" if client else "")
    if lasting:
        who += f"; if it stays, {WHO[lasting]}"
    return f'| <span id="{code}"></span>`{code}` | {meaning} | {who} | {told} |'


def _table(rows: list[str]) -> str:
    return "\n".join(["| code | what it means | who acts | what to do |", "|---|---|---|---|", *rows])


def errors_table() -> str:
    """Every OAuth `error`."""
    return _table(
        [
            _row(code, action, troubles.ERRORS[code], client=code in CLIENT_ERRORS)
            for code, action in classification.ERRORS.items()
        ]
    )


def aadsts_table() -> str:
    """Every number of Microsoft's."""
    return _table(
        [
            _row(
                f"AADSTS{number}",
                action,
                troubles.AADSTS[number],
                client=number in CLIENT_AADSTS,
                lasting=LASTING.get(number),
            )
            for number, action in sorted(classification.AADSTS.items())
        ]
    )


def _table_of(family: str) -> str:
    known: Mapping[str, Action] = classification.REFINEMENTS[family]
    rows = [
        _row(code, action, troubles.OTHERS[family][code], client=code in CLIENT_ERRORS)
        for code, action in known.items()
    ]
    # An id stands once on a page.
    return _table(
        [
            row.replace(f'<span id="{code}">', f'<span id="{family}-{code}">')
            for row, code in zip(rows, known, strict=True)
        ]
    )


TABLES: dict[str, Callable[[], str]] = {
    "errors": errors_table,
    "aadsts": aadsts_table,
    **{family: partial(_table_of, family) for family in classification.REFINEMENTS},
}
"""By the name of their place on the page."""
