"""Who is let in: the fake provider is asked whose a token is, and what it opens."""

from collections.abc import Mapping
from typing import Final, Protocol

from mail_oauth.testing.mailservers.sasl import Claim
from mail_oauth.testing.records import AccessInfo

_MICROSOFT: Final = "https://outlook.office.com"
_FASTMAIL: Final = "https://www.fastmail.com/dev"

SCOPES: Final[Mapping[str, Mapping[str, str]]] = {
    "microsoft": {"IMAP": f"{_MICROSOFT}/IMAP.AccessAsUser.All", "SMTP": f"{_MICROSOFT}/SMTP.Send"},
    "google": dict.fromkeys(("IMAP", "SMTP"), "https://mail.google.com/"),
    "oidc": dict.fromkeys(("IMAP", "SMTP"), "mail"),
    "plain": {"IMAP": f"{_FASTMAIL}/protocol-imap", "SMTP": f"{_FASTMAIL}/protocol-smtp"},
}
"""What a token must open, by personality and protocol."""


APP_ROLES: Final = {"IMAP": f"{_MICROSOFT}/IMAP.AccessAsApp", "SMTP": f"{_MICROSOFT}/SMTP.SendAsApp"}
"""What an app's own token must open."""


class Tokens(Protocol):
    """What is needed of the provider; `FakeProvider` is one."""

    def access_info(self, token: str) -> AccessInfo | None:
        """Whose valid token this is."""

    def knows(self, email: str) -> bool:
        """Whether there is an account with this address."""


def refusal(provider: Tokens, protocol: str, claim: Claim) -> tuple[str, str]:
    """Why a claim is refused, as a status of RFC 6750 section 3.1, and which scope is wanted; both empty if it is not."""
    info = provider.access_info(claim.token)
    if info is None or not info.opens(claim.user):
        return "invalid_token", "mail"
    wanted = APP_ROLES[protocol] if info.is_app else SCOPES[info.personality][protocol]
    return ("", "") if wanted in info.scopes else ("insufficient_scope", wanted)
