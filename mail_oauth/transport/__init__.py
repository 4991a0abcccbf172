"""HTTP to providers: pooled connections, total deadlines, capped bodies, no redirects."""

from mail_oauth.transport.addresses import address_problem
from mail_oauth.transport.calls import (
    ClientAssertion,
    ClientAuth,
    TokenEndpoint,
    fetch_json,
    post_bytes,
    post_form,
)
from mail_oauth.transport.connections import MAX_BODY
from mail_oauth.transport.deadlines import deadline
from mail_oauth.transport.pool import is_proxied, trusting_context
from mail_oauth.transport.sockets import mail_context, open_socket, wrap_socket

__all__ = [
    "MAX_BODY",
    "ClientAssertion",
    "ClientAuth",
    "TokenEndpoint",
    "address_problem",
    "deadline",
    "fetch_json",
    "is_proxied",
    "mail_context",
    "open_socket",
    "post_bytes",
    "post_form",
    "trusting_context",
    "wrap_socket",
]
