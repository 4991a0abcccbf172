"""Replies of token endpoints, and what each means to somebody who reads them slowly and knows nothing of our code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.texts import changed, written

MEMBERS = (
    "access_token refresh_token expires_in token_type scope id_token error error_codes error_description "
    "error_subtype refresh_token_expires_in claims"
).split()
GOOD = {
    "access_token": "fuzz-access",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "fuzz-refresh",
    "scope": "openid email offline_access mail",
}
REFUSAL = {"error": "invalid_grant", "error_description": "AADSTS70008: expired."}
LIKELY: dict[str, list[Any]] = {
    "token_type": ["bearer", "BEARER", "mac", "DPoP", "N_A"],
    "expires_in": ["3599", 3599.5, "1e30", "0", 86400 * 400, -5],
    "error": [
        "invalid_grant",
        "invalid_client",
        "INVALID_REFRESH_TOKEN",
        "slow_down",
        "access_denied",
        "invalid_code",
    ],
    "error_codes": [[70008], [50196, 70000], [7000215], ["70008"], [True], [-1], [10**30]],
    "error_description": ["AADSTS50196: loop", "AADSTS999999999", "AADSTS7000215", "AADSTS" + "9" * 400],
    "error_subtype": ["invalid_rapt", "admin_policy_enforced"],
    "scope": ["mail", "mail,openid", ["mail"], "mail\x00", "openid", "mail " * 2000],
    "refresh_token": ["a b", "fuzz-refresh-2", "r" * 131072, "r" * 131073],
    "access_token": ["a b", "a" * 131072, "a" * 131073],
}


@dataclass(frozen=True)
class Case:
    """A reply, with the provider's family of codes."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    family: str = ""


statuses = st.sampled_from(
    [200] * 12 + [201, 204, 302, 400, 400, 400, 401, 403, 404, 408, 429, 500, 503, 599, 999]
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["retry-after", "content-type", "content-language", "x-ms-request-id"]),
        st.sampled_from(
            ["0", "5", "-1", "9" * 40, "soon", "Tue, 01 Jan 2030 12:00:30 GMT", "text/html", "a/b; charset=utf-7"]
        )
        | st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    ),
    max_size=2,
).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A reply, not far from a good one or from an honest refusal."""
    base = draw(st.sampled_from([GOOD, GOOD, GOOD, REFUSAL, {**GOOD, **REFUSAL}, {}]))
    fields = draw(changed(base, MEMBERS, LIKELY))
    family = draw(st.sampled_from(["", "microsoft", "google", "yahoo"]))
    return Case(draw(statuses), draw(written(fields)), draw(headers), family)


def fit(value: Any) -> bool:
    """Whether a token can be kept and sent again: printable ASCII of a bounded length."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= 128 * 1024
        and all(" " <= character <= "~" for character in value)
    )


def read(body: bytes) -> dict[str, Any] | None:
    """The object of a body that is JSON in UTF-8 without fault; None for any other."""
    try:
        found = json.loads(body.decode("utf-8"), parse_int=lambda digits: int(digits[:4000]))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def grants(case: Case) -> bool:
    """Whether a reply is a fit one: nothing but such a one may change what a mailbox is opened with."""
    fields = read(case.body)
    kind = (fields or {}).get("token_type", "bearer")
    return (
        200 <= case.status < 300
        and fields is not None
        and not fields.get("error")
        and fit(fields.get("access_token"))
        and isinstance(kind, str)
        and kind.lower() == "bearer"
        and depth_of(fields) <= 64
    )


def depth_of(value: Any) -> int:
    """How deep arrays and objects lie in each other."""
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, (list, dict))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth
