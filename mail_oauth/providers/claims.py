"""Reading claims: text that fits a column, a log line and a mail protocol, or nothing.

A claim may be of any JSON type and hold any character. Control characters would end SASL frames and header
lines; NUL and lone surrogates are refused by PostgreSQL, when the code has already been redeemed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

LONGEST_ADDRESS = 254
"""In characters; RFC 5321 §4.5.3.1.3 less the angle brackets."""

LONGEST_SUBJECT = 255
"""In characters; OIDC Core §2."""


class _AddressValidator(EmailValidator):
    """Django's, with the local parts of RFC 6531 (`jörg@…`)."""

    user_regex = re.compile(r"""[-!#$%&'*+/=?^_`{}|~\w]+(\.[-!#$%&'*+/=?^_`{}|~\w]+)*\Z|"([^"\\]|\\.)*"\Z""")


_validate = _AddressValidator()


def is_address(value: Any) -> bool:
    """Tell whether `value` is one mail address, fit to be stored, shown and sent in a SASL exchange."""
    if not isinstance(value, str) or len(value) > LONGEST_ADDRESS or not value.isprintable():
        return False
    try:
        _validate(value)
    except ValidationError:
        return False
    return True


def text_claim(claims: Mapping[str, Any], name: str, *, longest: int = LONGEST_SUBJECT) -> str:
    """Return a claim of at most `longest` printable characters, whole, or an empty string."""
    value = claims.get(name)
    fits = isinstance(value, str) and len(value) <= longest and value.isprintable()
    return str(value) if fits else ""


def address_claim(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that is a mail address, or an empty string."""
    value = claims.get(name)
    return str(value) if is_address(value) else ""
