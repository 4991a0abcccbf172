"""The table of failures: which code means what, and so who must act.

Sources: RFC 6749 §5.2; Microsoft's `reference-error-codes`; Google's OAuth 2.0 pages; Yahoo's OAuth guide.
An unknown code falls back to the class of `error`, and an unknown `error` to a slow retry, then to somebody's
attention: a table that is not complete must never cost a grant.
"""

from __future__ import annotations

from enum import Enum, StrEnum

VERSION = 4
"""Raised with each change of the table, and logged with verdicts."""


class Action(Enum):
    """Who acts next."""

    GRANTED = "granted"
    RETRY = "retry"
    """Nobody: it passes by itself."""
    REAUTH = "reauth"
    """The user connects again."""
    ADMIN = "admin"
    """The administrator of the user's organisation."""
    OPERATOR = "operator"
    """The operator of this site: its registration or configuration at the provider is wrong."""
    BUG = "bug"
    """The developers; handled like OPERATOR."""
    UNKNOWN = "unknown"
    """Somebody must find out: a refusal that no table knows, and that did not pass."""


class Trouble(StrEnum):
    """What a failure says of more than its own mailbox."""

    CLIENT = "client"
    """The provider refuses this site's client authentication: it concerns every mailbox of the app at once."""
    CONFIGURATION = "configuration"
    """Another fault of OPERATOR or BUG: often one organisation's setting, or one bad row."""
    OUTAGE = "outage"
    """The provider cannot be reached or answers with a server's error."""
    THROTTLE = "throttle"
    """The provider asks for a pause."""
    REAUTH = "reauth"
    """A grant was refused: many of them at once are hardly their users' doing."""
    BY_HAND = "by_hand"
    """No failure: staff hold the calls. Nobody's verdict says it, and a call that somebody asks for waits as well."""


ERRORS: dict[str, Action] = {
    **dict.fromkeys(
        ("invalid_grant interaction_required consent_required login_required account_selection_required").split(),
        Action.REAUTH,
    ),
    **dict.fromkeys(
        (
            "invalid_client unauthorized_client deleted_client disabled_client redirect_uri_mismatch "
            "org_internal invalid_scope invalid_resource invalid_target"
        ).split(),
        Action.OPERATOR,
    ),
    **dict.fromkeys(("invalid_request", "unsupported_grant_type"), Action.BUG),
    **dict.fromkeys(
        "temporarily_unavailable server_error internal_failure slow_down rate_limit_exceeded".split(),
        Action.RETRY,
    ),
}
"""The OAuth `error` code, in lower case."""

LOOP_DETECTED = 50196
"""Microsoft's answer to too many equal requests. It arrives as `invalid_grant`, and only a pause ends it."""

SLOW_AADSTS = frozenset({50053, LOOP_DETECTED, 50000, 90036, 90092})
"""Microsoft's numbers that are retried after a long pause."""

LASTING: dict[int, Action] = {
    50053: Action.REAUTH,  # a locked account, or one that signs in from a bad address
    **dict.fromkeys((50000, 90036, 90092), Action.UNKNOWN),
}
"""What a number means that should have passed and did not."""

CLIENT_AADSTS = frozenset(
    (
        *(7000215, 7000222, 70002, 7000218, 700025, 700027, 700030, 50012, 50027, 700021, 700023, 700024),
        *(7000216, 70021, 700211, 700212, 700213),
    )
)
"""Microsoft's numbers for a client whose secret or assertion is wrong or expired."""

CLIENT_ERRORS = frozenset(
    ("invalid_client", "deleted_client", "disabled_client", "invalid_client_secret", "invalid_grant_signature")
)
"""The codes for the same; where a number stands beside them, the number decides."""

THROTTLES = frozenset({"slow_down", "rate_limit_exceeded"})
"""The codes by which a provider asks for a pause, besides Retry-After and HTTP 429."""

AADSTS: dict[int, Action] = {
    **dict.fromkeys(
        (
            *(50173, 70000, 70008, 700082, 700084, 70043, 50089, 50078, 50132, 50133, 50085, 54005, 700020),
            *(50072, 50074, 50076, 50079, 50158, 50055, 50144, 50058, 65001, 65004),
        ),
        Action.REAUTH,
    ),
    **dict.fromkeys(
        (
            *(50057, 50034, 51004, 50020, 50105, 500021, 500022, 500212, 500213, 53000, 53001, 53002, 53003),
            *(53004, 53011, 530032, 530034, 530035, 65005, 650052, 90094, 90095, 90099, 501051),
        ),
        Action.ADMIN,
    ),
    **dict.fromkeys(
        (
            *CLIENT_AADSTS,
            *(50011, 50194, 70001, 700016, 7000112, 7000229, 70011, 28000, 28002, 28003, 700022),
            *(9002331, 9002332, 9001023, 1002012, 90002, 90038, 500011, 50001, 650057),
        ),
        Action.OPERATOR,
    ),
    **dict.fromkeys(
        (50033, 50087, 50088, 70012, 90006, 90012, 90024, 90033, 90055, 90090, 90091, 80002, 501621),
        Action.RETRY,
    ),
    **dict.fromkeys(SLOW_AADSTS, Action.RETRY),
}
"""Microsoft's AADSTS numbers, which refine `error`."""

REFINEMENTS: dict[str, dict[str, Action]] = {
    "google": {"invalid_rapt": Action.REAUTH, "admin_policy_enforced": Action.ADMIN},
    "google_app": {
        "invalid_grant_signature": Action.OPERATOR,
        "invalid_grant_clock": Action.OPERATOR,
        "invalid_grant_mailbox": Action.ADMIN,
        "access_denied": Action.OPERATOR,
        "admin_policy_enforced": Action.ADMIN,
    },
    "yahoo": {
        "invalid_refresh_token": Action.REAUTH,
        "token_expired": Action.REAUTH,
        "account_not_authorized": Action.REAUTH,
        "invalid_client_secret": Action.OPERATOR,
        "invalid_callback": Action.OPERATOR,
        "error_handling_request": Action.RETRY,
    },
    "zoho": {"invalid_code": Action.REAUTH},
}
"""Codes of single providers: `error_subtype` at Google, `error` elsewhere."""

WORDS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "google_app": {
        "invalid_grant": (
            ("invalid jwt signature", "invalid_grant_signature"),  # the key was deleted
            ("account not found", "invalid_grant_signature"),  # the service account was
            ("short-lived token", "invalid_grant_clock"),
            ("valid email", "invalid_grant_mailbox"),  # "Not a valid email or user ID."
            ("invalid email", "invalid_grant_mailbox"),  # "Invalid email or User ID"
        ),
    },
}
"""What a provider has one code for and tells apart by its words alone (google-auth's guide to its errors)."""

THROTTLE_STATUSES = frozenset({429, 999})
"""Too many requests; 999 is Yahoo's."""

RETRY_STATUSES = frozenset({408, 425}) | THROTTLE_STATUSES
"""HTTP statuses below 500 that pass by themselves."""
