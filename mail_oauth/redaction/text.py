"""What secrets look like in a text, and the text without them.

By the names beside which they stand, in URLs, forms, JSON, HTML and Python's `repr`; in Authorization headers; in
what mail clients print of SASL (RFC 4616, RFC 7628); and by the shape of some tokens and of private keys. It is a second
line: this app writes no secret for it to find.

Each alternative is a few characters, and then takes all that may belong to the secret. None looks far ahead only to
give up, so the time is linear in the text, whatever that is.
"""

from __future__ import annotations

import re

HIDDEN = "[hidden]"
"""What stands in a secret's place."""

_NAMES = (
    r"(?:(?:access|refresh|id|oauth)[_-]?token|client[_-]?(?:secret|assertion)|code[_-]?verifier|assertion"
    r"|passw(?:or)?d)"
)
"""What stands beside these is a secret, however short it is."""

_WEAK_NAMES = r"(?:code|state|nonce|token)"
"""What stands beside these is a secret in a query; elsewhere, where it is long enough."""

_QUOTE = r"(?:\\*[\"']|&quot;|&\#x27;|&\#39;|%22)"
_IS = rf"{_QUOTE}?\s{{0,3}}(?:=|:|%3D|%3A)\s{{0,3}}(?!\[hidden\])[\[(]{{0,2}}(?:b(?=[\"\']))?{_QUOTE}?"
_NOTHING = r"(?!(?:null|None|True|False)(?:[\s,;)\]}&]|\Z))"
_BARE = r"[^\s&\"'<>,;)\]}\\]"
_QUOTED = (
    r"(?<=\\[\"'])(?:(?!\\[\"'])[\s\S])+"  # within a string that is itself quoted
    r"|(?<=\")(?:[^\"\\]|\\[\s\S])+"
    r"|(?<=')(?:[^'\\]|\\[\s\S])+"
    r"|(?<=&quot;)(?:(?!&quot;)[\s\S])+"
    r"|(?<=&\#x27;)(?:(?!&\#x27;)[\s\S])+"
    r"|(?<=&\#39;)(?:(?!&\#39;)[\s\S])+"
    r"|(?<=%22)(?:(?!%22)[^\s&])+"
)
_MECHANISMS = r"(?:XOAUTH2|OAUTHBEARER|PLAIN|LOGIN|CRAM-MD5|SCRAM-[A-Z0-9-]{1,20})"

_SECRET = re.compile(
    rf"""
      (?P<header>authorization{_IS})[^\r\n"'<>&\\]+
    | (?P<named>(?<!<){_NAMES}{_IS})(?:{_QUOTED}|{_NOTHING}{_BARE}+)
    | (?P<pair>\(["']{_NAMES}["'],\s{{0,3}}b?["'])(?:{_QUOTED})
    | (?P<query>(?:[?&]|%3F|%26|&amp;){_WEAK_NAMES}(?:=|%3D))(?!\[hidden\]){_BARE}+
    | (?P<form>(?<![\w-]){_WEAK_NAMES}=)(?!\[hidden\]){_BARE}{{1,15}}(?=&)
    | (?P<weak>(?<![\w-]){_WEAK_NAMES}{_IS}){_BARE}{{16,}}
    | (?P<weak_pair>\(["']{_WEAK_NAMES}["'],\s{{0,3}}b?["']){_BARE}{{16,}}
    | (?P<bearer>\bbearer\s{{1,3}}){_BARE}{{16,}}
    | (?P<sasl>\bAUTH(?:ENTICATE)?\s{{1,3}}{_MECHANISMS}\s{{1,3}})[A-Z0-9+/=]{{8,}}
    | (?P<blob>(?<![A-Z0-9+/]))(?-i:dXNlcj[0-3]|bixhP|biws)[A-Z0-9+/=_-]{{16,}}
    | (?P<jwt>(?<![\w-]))(?-i:eyJ)[\w-]+\.[\w-]+\.[\w-]*
    | (?P<pem>-----BEGIN\x20(?:[A-Z]{{1,12}}\x20){{0,2}}PRIVATE\x20KEY-----)[A-Z0-9+/=\s\\]+
    | (?P<google>(?<![\w-]))(?:ya29\.|1//0)[\w.-]{{16,}}
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def scrub(text: str) -> str:
    """Return `text` with `HIDDEN` in the place of whatever looks like a secret."""
    return _SECRET.sub(lambda found: f"{found[found.lastgroup or 0]}{HIDDEN}", text)
