"""A grant without a browser: a code is put into the store and redeemed at the true token endpoint."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from mail_oauth.testing.application import Application
from mail_oauth.testing.messages import Incoming
from mail_oauth.testing.personalities import Offline, Personality, find_route
from mail_oauth.testing.records import Account, AuthorizationCode, Client
from mail_oauth.testing.silence import serving

REDIRECT_URI: Final = "http://127.0.0.1/"
CODE_SECONDS: Final = 60


def _challenge(verifier: str) -> str:
    """The S256 challenge (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def seed(
    application: Application,
    *,
    personality: Personality,
    account: Account,
    client: Client,
    scopes: tuple[str, ...],
    now: float,
) -> dict[str, Any]:
    """The token reply for a consent of ``account`` to ``scopes``; faults do not strike, nothing is recorded."""
    code, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    record = AuthorizationCode(
        personality=personality.name,
        client_id=client.client_id,
        subject=account.subject,
        redirect_uri=REDIRECT_URI,
        scopes=scopes,
        offline=personality.offline is not Offline.SCOPE or "offline_access" in scopes,
        expires_at=now + CODE_SECONDS,
        challenge=_challenge(verifier),
        challenge_method="S256",
    )
    application.store.put_code(code, record)
    application.recorder.keep([("code", code), ("code_verifier", verifier)])
    return _redeem(application, personality, client, code, verifier)


def _redeem(
    application: Application, personality: Personality, client: Client, code: str, verifier: str
) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": REDIRECT_URI,
        "client_id": client.client_id,
        **({"client_secret": client.secret} if client.secret else {}),
    }
    return token_reply(application, personality.paths["token"].replace("{tenant}", "common"), form)


def token_reply(application: Application, url: str, form: Mapping[str, str]) -> dict[str, Any]:
    """What the token endpoint at ``url`` answers to a form; faults do not strike, no call is recorded.

    Raises `RuntimeError` where it refuses.
    """
    path = urlsplit(url).path
    route = find_route(path)
    if route is None:
        raise RuntimeError(f"The fake provider has no endpoint at {path}.")
    with serving():
        reply = application.serve(route, Incoming(method="POST", path=path, body=urlencode(form)))
    if not reply.is_success:
        raise RuntimeError(f"The fake provider refused its own grant: {reply.json().get('error')}.")
    return reply.json()
