"""Sending over HTTP, where SMTP is shut: Microsoft Graph's `sendMail` and the Gmail API's `messages.send`, in MIME."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Sequence
from email.utils import formataddr, getaddresses
from typing import Any
from urllib.parse import quote, urlsplit

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from mail_oauth.exceptions import (
    ConfigurationError,
    MailboxError,
    MailServerError,
    MailServerUnavailable,
    MessageRefused,
    SignInRefused,
    TransportError,
)
from mail_oauth.mailbox.grants import Grant
from mail_oauth.providers import Provider, provider_for
from mail_oauth.tokens import HttpReply, MailEndpoint, Secret
from mail_oauth.transport import post_bytes

logger = logging.getLogger(__name__)

_LONGEST_CODE = 64


class HttpConnection(BaseEmailBackend):
    """Sends through one mailbox over HTTP, each message by a call of its own. The first recipients are in its headers."""

    def __init__(
        self, grant: Grant, *, user: str = "", fail_silently: bool = False, alias: str | None = None
    ) -> None:
        """Mean the mailbox `user`, the grant's own address unless told.

        Raises `ConfigurationError` where the provider takes no mail over HTTP.
        """
        super().__init__(alias=alias or "mail_oauth")
        self.fail_silently = fail_silently
        self._grant, self._user = grant, user or grant.email
        self._endpoint = mail_endpoint(provider_for(grant.provider))

    def open(self) -> bool:
        """Do nothing: each message is a call of its own, over the process's pool."""
        return False

    @property
    def url(self) -> str:
        """Where messages are posted to."""
        placeholders = provider_for(self._grant.provider).placeholders()
        return self._endpoint.url.format(**placeholders, user=quote(self._user, safe="@"))

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send, and return how many messages the provider took. Raises a `MailboxError`, unless `fail_silently`."""
        return sum(self._sent(message) for message in email_messages)

    def _sent(self, message: EmailMessage) -> bool:
        if not message.recipients():
            return False
        try:
            self._send(_mime(message))
        except MailboxError as error:
            if not self.fail_silently:
                raise
            logger.warning("mail is not sent: %s", error)
            return False
        return True

    def _send(self, content: bytes) -> None:
        """Post a message; with another token once, if the first is refused."""
        resource = self._endpoint.resource
        token = self._grant.get_access_token(resource=resource)
        reply = self._post(content, token)
        if reply.status == 401:
            reply = self._post(content, self._grant.report_rejected(token, resource=resource))
        if not 200 <= reply.status < 300:
            raise self._refusal(reply)

    def _post(self, content: bytes, token: Secret) -> HttpReply:
        body = base64.b64encode(content) if self._endpoint.base64 else content
        try:
            return post_bytes(self.url, body, content_type=self._endpoint.content_type, bearer=token)
        except TransportError as error:
            doubt = " It may have been sent all the same." if error.outcome_unknown else ""
            raise MailServerUnavailable(
                f"{self._host} did not take the message ({error.cause}).{doubt}",
                reason=error.cause,
                protocol="HTTP",
                host=self._host,
            ) from None

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def _refusal(self, reply: HttpReply) -> MailServerError:
        """Return the error for a reply that is none of success: who must act, with the provider's code alone."""
        code = _code(reply)
        about: dict[str, Any] = {"protocol": "HTTP", "host": self._host, "code": f"{reply.status} {code}".rstrip()}
        if reply.status == 429 or reply.status >= 500:
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


def _mime(message: EmailMessage) -> bytes:
    """Return a message as it goes; whom it goes to, these interfaces read from its headers, so that Bcc is one of them."""
    mime = message.message()
    if message.bcc:
        mime["Bcc"] = ", ".join(formataddr(pair) for pair in getaddresses([str(each) for each in message.bcc]))
    return mime.as_bytes()


def _code(reply: HttpReply) -> str:
    """Return the word for an error in a reply of Graph or a Google API; empty where there is none."""
    try:
        said: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    word = (
        (error.get("code") if isinstance(error.get("code"), str) else error.get("status"))
        if isinstance(error, dict)
        else ""
    )
    plain = isinstance(word, str) and word.isascii() and word.isidentifier() and len(word) <= _LONGEST_CODE
    return str(word) if plain else ""
