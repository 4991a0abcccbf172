"""What a JWT access token says of itself, as far as it may be shown: named claims only, never the rest of the token.

Nothing is verified, for nothing is decided by it: an access token is for its resource to read (RFC 9068 §6), and this
page only shows what that one will see. Most providers' tokens are opaque, and Microsoft may change the form of its own
at any time (entra-docs, "Access tokens").
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from mail_oauth.admin.moments import Moment, moment
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_LONGEST_PAYLOAD = 64 * 1024
"""Of the encoded claims, in characters: what is longer is not read."""

_LONGEST_VALUE = 500
"""Of a claim that is shown, in characters."""

_JWS_PARTS, _JWE_PARTS = 3, 5
"""In how many parts a signed (RFC 7515 §3.1) and an encrypted (RFC 7516 §3.1) token is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim: what it means, its name, and its value as words or as a point in time."""

    meaning: _StrOrPromise
    name: str
    text: str = ""
    moment: Moment | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """The claims of an access token that are shown; `note` says why there are none."""

    shown: tuple[Claim, ...] = ()
    note: str = ""


_TEXTS: dict[str, _StrOrPromise] = {
    "aud": pgettext_lazy("claim", "Audience"),
    "iss": pgettext_lazy("claim", "Issuer"),
    "scp": pgettext_lazy("claim", "Scopes"),
    "scope": pgettext_lazy("claim", "Scopes"),
    "roles": gettext_lazy("Application permissions"),
    "tid": pgettext_lazy("claim", "Tenant"),
    "appid": pgettext_lazy("claim", "Client"),
    "azp": pgettext_lazy("claim", "Client"),
    "client_id": pgettext_lazy("claim", "Client"),
    "idtyp": gettext_lazy("Kind of subject"),
    "ver": pgettext_lazy("claim", "Version"),
}
_MOMENTS: dict[str, _StrOrPromise] = {
    "iat": pgettext_lazy("claim", "Issued"),
    "nbf": pgettext_lazy("claim", "Not before"),
    "exp": pgettext_lazy("claim", "Expires"),
}


@keeps_locals_in
def claims_of(token: Secret | None, now: datetime) -> Claims:
    """Decode the claims of a token that is a JWT; nothing that it may hold raises an error."""
    if not token:
        return Claims(note=_("There is no readable token."))
    parts = token.reveal().split(".")
    if len(parts) == _JWE_PARTS:
        return Claims(note=_("The token is encrypted: only its resource can read it."))
    payload = _payload(parts[1]) if len(parts) == _JWS_PARTS else None
    if payload is None:
        return Claims(note=_("The token is opaque: it is no JWT, and says nothing of itself."))
    shown = (*_found(payload, _TEXTS, _worded), *_found(payload, _MOMENTS, lambda value: _moment(value, now)))
    return Claims(shown=shown, note="" if shown else _("None of its claims is one that is shown."))


def _found(
    payload: Mapping[str, Any], meanings: Mapping[str, _StrOrPromise], read: Callable[[Any], dict[str, Any] | None]
) -> list[Claim]:
    return [
        Claim(meaning=meaning, name=name, **value)
        for name, meaning in meanings.items()
        if name in payload and (value := read(payload[name])) is not None
    ]


def _payload(part: str) -> dict[str, Any] | None:
    if len(part) > _LONGEST_PAYLOAD:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _worded(value: Any) -> dict[str, Any] | None:
    """Return text, or texts of a list; objects are none of what these claims may be."""
    values = value if isinstance(value, list) else [value]
    words = [str(each) for each in values if isinstance(each, (str, int, float)) and not isinstance(each, bool)]
    text = " ".join(words)
    if not text or len(text) > _LONGEST_VALUE or not text.isprintable():
        return None
    return {"text": text}


def _moment(value: Any, now: datetime) -> dict[str, Any] | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return {"moment": moment(datetime.fromtimestamp(value, UTC), now)}
    except (ValueError, OverflowError, OSError):
        return None
