"""Why a request is refused, and how each personality words it.

oauthlib hands a refusal back as JSON only; our reason travels through it in ``error_description`` as the
value of a `Reason`, and `error_body` turns it into the provider's own words.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Reason(Enum):
    """Why the provider said no."""

    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  # a code, no password
    FOREIGN_TOKEN = "foreign_token"  # noqa: S105  # a code, no password
    SPENT_TOKEN = "spent_token"  # noqa: S105  # a code, no password
    REUSED = "reused"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNKNOWN_CODE = "unknown_code"
    CODE_EXPIRED = "code_expired"
    CODE_REDEEMED = "code_redeemed"
    REDIRECT_MISMATCH = "redirect_mismatch"
    MIXED_RESOURCES = "mixed_resources"
    NOT_CONSENTED = "not_consented"
    UNKNOWN_CLIENT = "unknown_client"
    BAD_SECRET = "bad_secret"  # noqa: S105  # a code, no password
    NO_SECRET = "no_secret"  # noqa: S105  # a code, no password
    HINT_AND_SELECT = "hint_and_select"
    FOREIGN_TENANT = "foreign_tenant"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    ASSERTION_OF_ANOTHER = "assertion_of_another"
    ASSERTION_AUDIENCE = "assertion_audience"
    ASSERTION_TIME = "assertion_time"
    ASSERTION_REPLAYED = "assertion_replayed"
    FEDERATED_ISSUER = "federated_issuer"
    FEDERATED_SUBJECT = "federated_subject"
    TENANT_NEEDED = "tenant_needed"
    DEFAULT_SCOPE_NEEDED = "default_scope_needed"
    UNKNOWN_SERVICE_ACCOUNT = "unknown_service_account"
    BAD_SIGNATURE = "bad_signature"
    NOT_DELEGATED = "not_delegated"
    UNKNOWN_MAILBOX = "unknown_mailbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aadsts:
    """Microsoft's number and words for a refusal."""

    code: int
    text: str


AADSTS: Final[Mapping[str, Aadsts]] = {
    Reason.UNKNOWN_TOKEN.value: Aadsts(
        code=70000, text="The provided value for the input parameter is not valid."
    ),
    Reason.FOREIGN_TOKEN.value: Aadsts(code=70000, text="The grant was issued to another application."),
    Reason.SPENT_TOKEN.value: Aadsts(code=70000, text="The refresh token has been replaced."),
    Reason.REUSED.value: Aadsts(code=70000, text="The refresh token was used twice; the grant was revoked."),
    Reason.REVOKED.value: Aadsts(code=50173, text="The provided grant has expired due to it being revoked."),
    Reason.EXPIRED.value: Aadsts(code=700082, text="The refresh token has expired due to inactivity."),
    Reason.UNKNOWN_CODE.value: Aadsts(code=70000, text="The provided authorization code is not valid."),
    Reason.CODE_EXPIRED.value: Aadsts(code=70008, text="The provided authorization code has expired."),
    Reason.CODE_REDEEMED.value: Aadsts(code=54005, text="OAuth2 Authorization code was already redeemed."),
    Reason.REDIRECT_MISMATCH.value: Aadsts(code=500112, text="The reply address does not match that of the code."),
    Reason.MIXED_RESOURCES.value: Aadsts(code=28000, text="The scope contains more than one resource."),
    Reason.NOT_CONSENTED.value: Aadsts(code=65001, text="The user or administrator has not consented."),
    Reason.UNKNOWN_CLIENT.value: Aadsts(code=700016, text="The application was not found in the directory."),
    Reason.BAD_SECRET.value: Aadsts(code=7000215, text="Invalid client secret provided."),
    Reason.NO_SECRET.value: Aadsts(code=7000218, text="The request body must contain 'client_secret'."),
    Reason.HINT_AND_SELECT.value: Aadsts(code=90023, text="'login_hint' and 'select_account' exclude each other."),
    Reason.FOREIGN_TENANT.value: Aadsts(code=50020, text="The user account does not exist in this tenant."),
    Reason.UNKNOWN_CERTIFICATE.value: Aadsts(
        code=700027, text="The certificate with this identifier is not known."
    ),
    Reason.ASSERTION_OF_ANOTHER.value: Aadsts(code=700021, text="The client assertion names another application."),
    Reason.ASSERTION_AUDIENCE.value: Aadsts(code=700023, text="The client assertion is for another audience."),
    Reason.ASSERTION_TIME.value: Aadsts(code=700024, text="The client assertion is not within its time range."),
    Reason.ASSERTION_REPLAYED.value: Aadsts(code=50027, text="The client assertion was used before."),
    Reason.FEDERATED_ISSUER.value: Aadsts(code=700211, text="No federated identity of that issuer was found."),
    Reason.FEDERATED_SUBJECT.value: Aadsts(code=700213, text="No federated identity of that subject was found."),
    Reason.TENANT_NEEDED.value: Aadsts(code=9001023, text="The grant type is not supported over this endpoint."),
    Reason.DEFAULT_SCOPE_NEEDED.value: Aadsts(code=1002012, text="The scope must end with /.default."),
}
# For what oauthlib itself refuses, by OAuth error code.
_BY_ERROR: Final[Mapping[str, Aadsts]] = {
    "invalid_grant": Aadsts(code=501481, text="The code_verifier does not match the code_challenge."),
    "invalid_client": AADSTS[Reason.UNKNOWN_CLIENT.value],
    "invalid_scope": Aadsts(code=70011, text="The provided value for the input parameter 'scope' is not valid."),
    "unsupported_grant_type": Aadsts(code=70003, text="The app returned an unsupported grant type."),
    "unauthorized_client": AADSTS[Reason.UNKNOWN_CLIENT.value],
}
_MISSING: Final = Aadsts(code=900144, text="The request body must contain a required parameter.")
_GOOGLE: Final[Mapping[str, str]] = {
    Reason.UNKNOWN_CODE.value: "Malformed auth code.",
    Reason.CODE_REDEEMED.value: "Bad Request",
    Reason.BAD_SECRET.value: "Unauthorized",
    Reason.UNKNOWN_CLIENT.value: "The OAuth client was not found.",
    Reason.REVOKED.value: "Token has been expired or revoked.",
    Reason.EXPIRED.value: "Token has been expired or revoked.",
    Reason.UNKNOWN_SERVICE_ACCOUNT.value: "Invalid grant: account not found",
    Reason.BAD_SIGNATURE.value: "Invalid JWT Signature.",
    Reason.ASSERTION_TIME.value: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
    "timeframe. Check your iat and exp values in the JWT claim.",
    Reason.UNKNOWN_MAILBOX.value: "Invalid email or User ID",
    Reason.NOT_DELEGATED.value: "Client is unauthorized to retrieve access tokens using this method, or client not "
    "authorized for any of the scopes requested.",
}


GOOGLES_ALONE: Final = frozenset(
    (Reason.UNKNOWN_SERVICE_ACCOUNT, Reason.BAD_SIGNATURE, Reason.NOT_DELEGATED, Reason.UNKNOWN_MAILBOX)
)
"""What only service accounts are told."""


def microsoft_error(error: str, aadsts: Aadsts) -> dict[str, object]:
    """A token error as Microsoft writes it; the trace ids are derived, so that a test can compare them."""
    trace = hashlib.sha256(f"{error}{aadsts.code}".encode()).hexdigest()
    return {
        "error": error,
        "error_description": f"AADSTS{aadsts.code}: {aadsts.text} Trace ID: {trace[:32]}",
        "error_codes": [aadsts.code],
        "timestamp": "2030-01-01 00:00:00Z",
        "trace_id": trace[:32],
        "correlation_id": trace[32:],
        "error_uri": f"https://login.microsoftonline.com/error?code={aadsts.code}",
    }


def error_body(personality: str, error: str, description: str) -> dict[str, object]:
    """The JSON that ``personality`` answers for ``error``; ``description`` is a reason or oauthlib's words."""
    if personality == "microsoft":
        aadsts = AADSTS.get(description) or _BY_ERROR.get(error, _MISSING)
        body = microsoft_error(error, aadsts)
        return {**body, "suberror": "consent_required"} if aadsts.code == 65001 else body
    if personality == "google" and error == "invalid_grant":
        return {"error": error, "error_description": _GOOGLE.get(description, "Bad Request")}
    words = _GOOGLE.get(description, description) if personality == "google" else description
    return {"error": error, "error_description": words} if words else {"error": error}
