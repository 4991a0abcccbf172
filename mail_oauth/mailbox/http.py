"""Sending over HTTP, where SMTP is shut: Microsoft Graph's `sendMail` and the Gmail API's `messages.send`, in MIME."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Sequence
from email.utils import getaddresses, parseaddr
from typing import Any
from urllib.parse import quote, urlsplit

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.encoding import punycode

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    ConfigurationError,
    MailboxError,
    MailServerError,
    MailServerUnavailable,
    MessageRefused,
    ProviderUnavailable,
    SignInRefused,
    TransportError,
)
from mail_oauth.mailbox.grants import Sender
from mail_oauth.providers import Provider, provider_for
from mail_oauth.tokens import HttpReply, MailEndpoint, Secret
from mail_oauth.transport import post_bytes

logger = logging.getLogger(__name__)

_LONGEST_CODE = 64
_LIMIT = re.compile("LimitExceeded|quotaExceeded")  # Google's 403 for who sends too much


class HttpConnection(BaseEmailBackend):
    """Sends through one mailbox over HTTP, each message by a call of its own.

    To whom a message goes, these interfaces read from its headers: they are made to say what Django's mail means.
    """

    def __init__(
        self,
        grant: Sender,
        *,
        user: str = "",
        timeout: float | None = None,
        fail_silently: bool = False,
        alias: str | None = None,
    ) -> None:
        """Mean the mailbox `user`, the grant's own unless told; a call takes `timeout` seconds, or `MAIL_TIMEOUT`.

        Raises `ConfigurationError` where the provider takes no mail over HTTP.
        """
        super().__init__(alias=alias or "mail_oauth")
        self.fail_silently = fail_silently
        self._grant, self._user = grant, user or grant.email
        self._is_own = self._user.lower() == grant.email.lower() and not grant.address_typed
        self._seconds = app_settings().mail_timeout if timeout is None else timeout
        self._endpoint = mail_endpoint(provider_for(grant.provider))

    def open(self) -> bool:
        """Do nothing: each message is a call of its own, over the process's pool."""
        return False

    @property
    def url(self) -> str:
        """Where messages are posted to."""
        placeholders = provider_for(self._grant.provider).placeholders()
        # By its address Graph knows a user only where that is the principal name as well.
        mailbox = "me" if self._is_own else f"users/{quote(self._user, safe='@')}"
        return self._endpoint.url.format(**placeholders, mailbox=mailbox)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send, and return how many messages the provider took. Raises a `MailboxError`, unless `fail_silently`."""
        return sum(self._sent(message) for message in email_messages)

    def _sent(self, message: EmailMessage) -> bool:
        if not message.recipients():
            return False
        try:
            self._send(self._mime(message))
        except MailboxError as error:
            if not self.fail_silently:
                raise
            logger.warning(
                "mail is not sent: %s", error, extra={"action": "mail_not_sent", "reason": error.reason}
            )
            return False
        return True

    def _send(self, content: bytes) -> None:
        """Post a message; with another token once, if the first is refused."""
        resource = self._endpoint.resource
        token = self._grant.get_access_token(resource=resource)
        reply = self._post(content, token)
        if reply.status == 401:
            try:
                token = self._grant.report_rejected(token, resource=resource)
            except ProviderUnavailable as error:
                if error.reason != "token_rejected":
                    raise
                raise self._refusal(reply) from None  # a moment ago another new token was no remedy
            reply = self._post(content, token)
        if not 200 <= reply.status < 300:
            raise self._refusal(reply)

    def _post(self, content: bytes, token: Secret) -> HttpReply:
        body = base64.b64encode(content) if self._endpoint.base64 else content
        try:
            return post_bytes(
                self.url, body, content_type=self._endpoint.content_type, bearer=token, seconds=self._seconds
            )
        except TransportError as error:
            doubt = " It may have been sent all the same." if error.outcome_unknown else ""
            raise MailServerUnavailable(
                f"{self._host} did not take the message ({error.cause}).{doubt}",
                reason=error.cause,
                protocol="HTTP",
                host=self._host,
            ) from None

    def _mime(self, message: EmailMessage) -> bytes:
        """Return a message as it goes. Raises `MessageRefused` where its headers name somebody that it is not for."""
        mime = message.message()
        meant = {_ascii(address): None for address in map(str, message.recipients())}
        del mime["Bcc"]
        named = {_ascii(pair[1]) for pair in getaddresses([*mime.get_all("To", []), *mime.get_all("Cc", [])])}
        if not named <= meant.keys():
            raise MessageRefused(
                "A header To or Cc names somebody whom the message is not for: over HTTP it would go there all the same.",
                reason="message",
                protocol="HTTP",
                host=self._host,
            )
        hidden = [address for address in meant if address not in named]
        if hidden:
            mime["Bcc"] = ", ".join(hidden)
        return mime.as_bytes()

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def _refusal(self, reply: HttpReply) -> MailServerError:
        """Return the error for a reply that is none of success: who must act, with the provider's code alone."""
        code = _code(reply)
        about: dict[str, Any] = {"protocol": "HTTP", "host": self._host, "code": f"{reply.status} {code}".rstrip()}
        if reply.status == 429 or reply.status >= 500 or _LIMIT.search(code):
            text = f"{self._host} does not take the message now ({about['code']}): try again later."
            return MailServerUnavailable(text, reason="unavailable", **about)
        if reply.status == 401:
            text = f"{self._host} refuses {self._user} ({about['code']}) although the token is new."
            return SignInRefused(text, reason="refused", **about)
        if reply.status == 403:
            text = f"{self._host} lets {self._user} send nothing ({about['code']}): look whether the grant has the scope "
            return SignInRefused(f"{text}for it, and whether the mailbox may send.", reason="scope", **about)
        return MessageRefused(f"{self._host} refuses the message ({about['code']}).", reason="message", **about)


def mail_endpoint(provider: Provider) -> MailEndpoint:
    """Return where a provider takes messages. Raises `ConfigurationError` where it takes none."""
    endpoint = provider.setting("MAIL_ENDPOINT")
    if isinstance(endpoint, MailEndpoint):
        return endpoint
    raise ConfigurationError(
        f'MAIL_OAUTH["PROVIDERS"]["{provider.alias}"]: {provider.name} takes no mail over HTTP: write "SENDING": "smtp".'
    )


def _ascii(address: str) -> str:
    """Return the bare address, its domain as the network has it."""
    name, at, domain = parseaddr(address)[1].rpartition("@")
    return f"{name}{at}{punycode(domain).lower()}"


def _code(reply: HttpReply) -> str:
    """Return the word for an error in a reply of Graph or a Google API; empty where there is none."""
    try:
        said: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    words = (first.get("reason"), error.get("code"), error.get("status"))
    plain = (word for word in words if isinstance(word, str) and word.isascii() and word.isidentifier())
    return next(plain, "")[:_LONGEST_CODE]
