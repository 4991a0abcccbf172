"""Every error that mail_oauth raises.

Configuration mistakes (`ConfigurationError`) stand apart from what happens in operation
(`MailboxError`). Messages hold codes and names, never a provider's response body and never a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import override

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


class MailOAuthError(Exception):
    """Something went wrong in mail_oauth."""


class ConfigurationError(MailOAuthError, ImproperlyConfigured):
    """The site's settings are wrong; the message names the setting and the line to write."""


class KeySourcesConflict(ConfigurationError):
    """Keys come from more than one of `FERNET_KEYS`, `KEYS_FILE` and `KEYS`."""


class KeysNotFound(ConfigurationError):
    """The file or the callable that the keys come from has none, or cannot be read."""


class SealError(MailOAuthError, ValueError):
    """A stored secret cannot be opened.

    `code` says why, in a word that is fit to be stored. `mendable`: an operator can make it open again as it stands.
    """

    code = "unreadable"
    mendable = False

    @property
    def brief(self) -> str:
        """The code, with the name of a key that is missing."""
        return self.code


class KeyMissing(SealError):
    """It was sealed under a key that is not among the site's, `fingerprint`: put it back, nothing is lost."""

    code = "key_missing"
    mendable = True

    def __init__(self, message: str, fingerprint: str = "") -> None:
        """Name the key that is missing."""
        super().__init__(message)
        self.fingerprint = fingerprint

    @property
    def brief(self) -> str:
        """The code and the key."""
        return f"{self.code} {self.fingerprint}".rstrip()


class Altered(SealError):
    """It was flipped, truncated, or relabelled: it is not what was stored."""

    code = "altered"


class Moved(SealError):
    """It was sealed for another place."""

    code = "moved"


class Unbound(SealError):
    """It was not sealed for any place: the plain field of django-fernet-fields wrote it, or something else did."""

    code = "unbound"
    mendable = True


class UnsealedValue(MailOAuthError, TypeError):
    """A plain value was about to be stored where only sealed ones may stand."""


class TransportError(MailOAuthError, ConnectionError):
    """A provider could not be reached or did not answer properly.

    `cause` is a short code (``"timeout"``, ``"dns"``, ``"refused"`` …). `outcome_unknown` says that the
    request may have been carried out although no answer arrived, so that a one-time code or a single-use
    refresh token may already be spent.
    """

    def __init__(self, message: str, *, cause: str, outcome_unknown: bool = False) -> None:
        """Describe a fault by its `cause` code."""
        super().__init__(message)
        self.cause = cause
        self.outcome_unknown = outcome_unknown


class ConnectRefused(MailOAuthError):
    """A mailbox was not connected; `code` says why and selects the text that the user is shown."""

    def __init__(self, code: str, message: str = "") -> None:
        """Refuse with a stable `code`; `message` is for logs and developers."""
        super().__init__(message or code)
        self.code = code


class TooManyStarts(ConnectRefused):
    """A user has begun to connect mailboxes too often; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        """Say when the next start is admitted."""
        super().__init__("too_many_starts")
        self.retry_after = retry_after


class MailboxError(MailOAuthError):
    """A mailbox cannot be used now. `reason` is the stored code behind it, empty when there is none."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """Say what to do next in `message`."""
        super().__init__(message)
        self.reason = reason


class ReauthRequired(MailboxError):
    """The provider withdrew the grant: the user must connect the mailbox again."""


class AdminRequired(MailboxError):
    """The administrator of the user's organisation must act at the provider."""


class MailboxDisconnected(MailboxError):
    """The mailbox was disconnected, or its OAuth was switched off (`use_oauth=False`)."""


class CredentialsUnreadable(MailboxError):
    """The stored tokens cannot be decrypted: the operator must put the key back. Nothing is lost."""


class TransactionHeld(MailboxError):
    """A refresh was needed inside a transaction in which its result could not be saved first."""


class MailServerError(MailboxError):
    """A mail server gave no signed-in connection; the grant is as good as before.

    `reason` is a word that says why, `protocol` is ``"IMAP"``, ``"POP"``, ``"SMTP"`` or ``"HTTP"``, `host` the server's
    name, and `code` the server's own word for it, where it gave one. `words` are the message for pages, in the language
    of whoever reads them; as text it is English, for logs.
    """

    def __init__(self, message: _StrOrPromise, *, reason: str, protocol: str, host: str, code: str = "") -> None:
        """Say which server, and what to do next."""
        with override(None):
            super().__init__(str(message), reason=reason)
        self.words = message
        self.protocol = protocol
        self.host = host
        self.code = code


class SignInRefused(MailServerError):
    """A mail server refuses the mailbox although its token is new: somebody must act, and `message` says who.

    `reason` is ``"refused"``, ``"scope"``, ``"mailbox"``, ``"switched_off"`` or ``"no_mechanism"``.
    """


class MailServerUnavailable(MailServerError):
    """A mail server cannot be reached, or cannot tell now; try again later.

    `reason` is ``"unavailable"``, ``"dns"``, ``"refused"``, ``"connect_timeout"``, ``"timeout"``, ``"tls"`` or
    ``"connection"``.
    """


class MessageRefused(MailServerError):
    """A provider does not take a message over HTTP; `code` is its own word for it. `reason` is ``"message"``."""


class ProviderUnavailable(MailboxError):
    """The provider cannot refresh this mailbox's token now; the grant is kept and tried again.

    `retry_after` is the number of seconds until the next attempt is due, or None when unknown.
    """

    def __init__(self, message: str, *, reason: str = "", retry_after: float | None = None) -> None:
        """Say which provider, and when it is tried again."""
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
