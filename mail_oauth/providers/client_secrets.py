"""A client's secrets: one, or several in the order of preference while one takes the place of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mail_oauth.tokens import Secret

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def ordinal(place: int) -> str:
    """Return the place of a secret in its list, counted from 0, as messages name it."""
    return _ORDINALS[place] if place < len(_ORDINALS) else f"{place + 1}th"


def placed(where: str, option: Any) -> Iterator[tuple[str, Any]]:
    """Yield what stands in `CLIENT_SECRET`, right or wrong, each with its place in words; `where` is the option's."""
    if not isinstance(option, (list, tuple)):
        yield where, option
        return
    for place, secret in enumerate(option):
        yield f"{where}: the {ordinal(place)} of {len(option)}", secret


def secrets_in(option: Any) -> tuple[Secret, ...]:
    """Return the secrets that stand in `CLIENT_SECRET`, each once, the preferred one first."""
    hidden = [Secret(each) if isinstance(each, str) else each for _, each in placed("", option)]
    return tuple(dict.fromkeys(each for each in hidden if isinstance(each, Secret) and each))


def list_problems(where: str, secrets: Sequence[Any]) -> list[str]:
    """Say in full sentences what is wrong with a list of secrets; none of them is shown."""
    if not secrets:
        return [f'{where} is an empty list: write "CLIENT_SECRET": ["…"], the preferred one first.']
    return [f"{place} {problem}" for place, secret in placed(where, secrets) if (problem := _problem(secret))]


def _problem(secret: Any) -> str:
    if secret is not None and not isinstance(secret, (str, Secret)):
        return f"must be a string, not {type(secret).__name__}."
    empty = "None" if secret is None else "''"
    return "" if secret else f"is {empty}: is the environment variable set that it is read from? Else take it out."
