"""What a grant allows, in words: from scopes to what its user would say of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_FROM = r"(?:https://[^/]+/)?"
"""A resource, by which Microsoft's scopes may begin."""

_WORDS: tuple[tuple[str, _StrOrPromise], ...] = (
    # One scope at Google, and one at Yahoo, opens IMAP, POP and SMTP together.
    (r"https://mail\.google\.com/", _("Read, write, send and delete your mail")),
    (r"https://www\.googleapis\.com/auth/gmail\.modify", _("Read, write and send your mail")),
    (r"mail-w", _("Read, write, send and delete your mail")),
    (rf"{_FROM}IMAP\.(AccessAsUser\.All|AccessAsApp)|.*dev/protocol-imap", _("Read, sort and delete your mail")),
    (rf"{_FROM}Mail\.ReadWrite(\.Shared)?", _("Read, sort and delete your mail")),
    (rf"{_FROM}POP\.(AccessAsUser\.All|AccessAsApp)|.*dev/protocol-pop", _("Fetch your mail")),
    (rf"{_FROM}Mail\.Read(\.Shared)?|mail-r", _("Read your mail")),
    (r"https://www\.googleapis\.com/auth/gmail\.readonly", _("Read your mail")),
    (rf"{_FROM}(SMTP\.Send(AsApp)?|Mail\.Send(\.Shared)?)|.*dev/protocol-smtp", _("Send mail in your name")),
    (r"https://www\.googleapis\.com/auth/gmail\.send", _("Send mail in your name")),
    (
        rf"openid|email|profile|{_FROM}User\.Read|.*/auth/userinfo\.(email|profile)",
        _("See your name and address"),
    ),
    (r"offline_access", _("Keep this access while you are away, until it is withdrawn")),
    (r"mail", _("Your mail")),
)
"""Whole scopes, as patterns; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that a grant allows; `known` unless all there is to show is the scope itself."""

    words: _StrOrPromise
    known: bool = True


def access_in_words(scopes: Iterable[str]) -> list[Access]:
    """Return what these scopes allow, each thing once, in the order of the table; unknown scopes as they are."""
    given = list(dict.fromkeys(scopes))
    meant = {scope: _place(scope) for scope in given}
    known = sorted({place for place in meant.values() if place is not None})
    words = dict.fromkeys(str(_WORDS[place][1]) for place in known)
    unknown = [Access(scope, known=False) for scope, place in meant.items() if place is None]
    return [Access(each) for each in words] + unknown


def _place(scope: str) -> int | None:
    """Return which row of the table a scope is; scopes are case-sensitive (RFC 6749 §3.3)."""
    return next((at for at, (pattern, _words) in enumerate(_WORDS) if re.fullmatch(pattern, scope)), None)
