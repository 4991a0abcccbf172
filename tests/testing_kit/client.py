"""What an application does with a provider, by hand: no client library hides what is sent."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from mail_oauth.testing.personalities import PERSONALITIES

REDIRECT_URI = "http://testserver/mail/callback/"


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@dataclass
class Request:
    """An authorization request: its URL, and what its answer will be checked against."""

    url: str
    verifier: str
    state: str
    nonce: str


@dataclass
class Application:
    """A confidential client of the provider."""

    provider: object
    http: object
    extra: dict = field(default_factory=dict)

    def ask(self, personality="microsoft", scope=None, **changes):
        verifier, state, nonce = (secrets.token_urlsafe(48) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        parameters = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": " ".join(PERSONALITIES[personality].default_scopes) if scope is None else scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"access_type": "offline"} if personality == "google" else {}),
            **changes,
        }
        sent = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.provider.urls(personality)['authorize']}?{urlencode(sent)}"
        return Request(url=url, verifier=verifier, state=state, nonce=nonce)

    def token(self, personality="microsoft", **form):
        body = {
            "client_id": self.provider.client_id,
            "client_secret": self.provider.client_secret,
            **form,
        }
        sent = {name: value for name, value in body.items() if value is not None}
        return self.http.post(self.provider.urls(personality)["token"], data=sent, allow_redirects=False)

    def redeem(self, request, callback, personality="microsoft", **changes):
        form = {
            "grant_type": "authorization_code",
            "code": query_of(callback)["code"],
            "redirect_uri": REDIRECT_URI,
            "code_verifier": request.verifier,
            **changes,
        }
        return self.token(personality, **form)

    def connect(self, personality="microsoft", email="ada@example.com", scopes=None, **changes):
        request = self.ask(personality, **changes)
        reply = self.redeem(request, self.provider.authorize(request.url, email, scopes=scopes), personality)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def refresh(self, refresh_token, personality="microsoft", **changes):
        return self.token(personality, grant_type="refresh_token", refresh_token=refresh_token, **changes)
