"""Live looks at a provider's HTTP endpoints, by the transport that refreshes go by: proxy, deadlines, address rules.

The token endpoint is asked to refresh with a token that was made up for it. No grant belongs to that, so that nothing
can be spent, ended or found reused; the answer `invalid_grant` shows that the client was accepted (RFC 6749 §5.2), any
other what is wrong before a user sees it:

- Google, Yahoo, Keycloak and oauthlib's servers look at the client first: a wrong secret is told.
- Fastmail's clients are public: an unknown id is told.
- Microsoft refuses the made-up token as malformed (AADSTS9002313), maybe before it looks at the secret. Whether that is
  right, the first refresh proves: `mailboxes.refreshes` has those.

Where the app itself is let in, it asks for its own token, which Microsoft gives and nobody uses; at Google for one of a
mailbox that nobody has: `invalid_grant` for that mailbox shows that the service account was accepted.

The provider logs one failed request for each of the client's secrets. No lane hears of it, and it is not counted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers import Provider
from mail_oauth.providers.id_tokens import KEY_TYPES, LEEWAY_SECONDS, usable_keys
from mail_oauth.refresh.verdicts import Verdict, judge
from mail_oauth.tokens import HttpReply, Secret
from mail_oauth.transport import TokenEndpoint, deadline, fetch_json
from mail_oauth.upkeep.doctor import certificates
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown, wrong
from mail_oauth.upkeep.doctor.hints import of_fault, of_verdicts
from mail_oauth.upkeep.doctor.rounds import Probe, Round

SKEW_NOTED = 30.0
"""How many seconds a provider's clock may differ from this host's before it is said; beyond an id_token's leeway it is
an error."""

_AUTHENTICATION = {"post": "client_secret_post", "basic": "client_secret_basic", "none": "none"}  # OIDC Core §9
_COMPARED = {"AUTHORIZE_URL": "authorization_endpoint", "TOKEN_URL": "token_endpoint", "JWKS_URL": "jwks_uri"}


_NOBODY = "mail-oauth-doctor@mailbox.invalid"
"""A mailbox that nobody has (RFC 2606 §2)."""


@dataclass
class Case:
    """One provider, and the last reply that came from it, with the moment of this host's clock."""

    provider: Provider
    reply: HttpReply | None = None
    asked_at: datetime = field(default_factory=timezone.now)
    answered_at: datetime = field(default_factory=timezone.now)


def _discovery(case: Case) -> Iterator[Outcome]:
    url = case.provider.discovery_url()
    if not url:
        return
    found = _document(url)
    if isinstance(found, Outcome):
        yield found
        return
    issuer = found.get("issuer")
    if not case.provider.calls_itself(issuer):
        yield wrong(
            f"Its discovery document names the issuer {_shown(issuer)}.",
            'Write "ISSUER" letter by letter as it stands there; at Microsoft "TENANT" decides on it.',
        )
        return
    complaints = list(_differences(case.provider, found))
    yield from complaints
    if not complaints:
        yield fine("Its discovery document names it, and the endpoints that are used.")


def _differences(provider: Provider, found: Mapping[str, Any]) -> Iterator[Outcome]:
    """Tell what a discovery document says otherwise than the settings."""
    for option, member in _COMPARED.items():
        ours, theirs = provider.options.get(option) or getattr(provider, option.lower()), found.get(member)
        if ours and "{" not in ours and isinstance(theirs, str) and ours != theirs:
            yield doubtful(
                f"Its discovery document names {_shown(theirs)}, while another {option} is used here.",
                f'Write "{option}": {_shown(theirs)}.',
            )
    methods, ours = (
        found.get("token_endpoint_auth_methods_supported"),
        _AUTHENTICATION[provider.setting("CLIENT_AUTH")],
    )
    if isinstance(methods, list) and methods and provider.options.get("CLIENT_SECRET") and ours not in methods:
        known = [name for name, method in _AUTHENTICATION.items() if method in methods]
        yield doubtful(
            f"It does not name {ours} among the ways that a client may show its secret.",
            f'Write "CLIENT_AUTH": "{known[0] if known else "post"}".',
        )
    scopes = found.get("scopes_supported")
    if (
        isinstance(scopes, list)
        and "offline_access" in provider.requested_scopes
        and "offline_access" not in scopes
    ):
        yield doubtful(
            "It does not name the scope offline_access: a refresh token may be missing.",
            'See how it gives out refresh tokens, and write "SCOPES" and "AUTHORIZE_PARAMETERS" accordingly.',
        )


def _keys(case: Case) -> Iterator[Outcome]:
    try:
        url = case.provider.setting("JWKS_URL")
    except (TransportError, ConfigurationError) as error:
        yield of_fault(error)
        return
    if not url:
        return
    found = _document(url)
    if isinstance(found, Outcome):
        yield found
        return
    try:
        usable = (key for algorithm in KEY_TYPES for key in usable_keys(found, {"alg": algorithm}))
        number = len({key.public_numbers() for key in usable})
    except TransportError:
        number = 0
    if number:
        yield fine(f"Keys that verify its id_tokens: {number}.")
    else:
        yield wrong(
            "It publishes no key that an id_token could be verified by.", f"See what lies at {_shown(url)}."
        )


def _token(case: Case) -> Iterator[Outcome]:
    """Ask once with each secret of the client: of several, one that is refused is hidden by one that is not."""
    try:
        with deadline(app_settings().total_timeout):
            verdicts = [_asked(case, each) for each in case.provider.token_endpoint().by_each_secret()]
    except (TransportError, ConfigurationError) as error:
        yield of_fault(error)
    else:
        yield from of_verdicts(verdicts, case.provider)


def _asked(case: Case, endpoint: TokenEndpoint) -> Verdict:
    made_up = Secret(f"mail-oauth-doctor-{secrets.token_urlsafe(24)}")
    scope = case.provider.refresh_scope(" ".join(case.provider.requested_scopes))
    case.asked_at = timezone.now()
    if case.provider.is_app_only:
        case.reply = case.provider.ask_for_app(endpoint, _NOBODY, case.provider.app_scope)
    else:
        case.reply = endpoint.refresh(made_up, scope=scope)
    case.answered_at = timezone.now()
    return judge(case.reply, family=case.provider.family)


def _clock(case: Case) -> Iterator[Outcome]:
    """Compare clocks by the Date of a reply, which is when it was made (RFC 9110 §6.6.1); its unit is a second."""
    there = _date(case.reply)
    if case.reply is None or there is None:
        yield unknown("Its reply bore no date.")
        return
    early = (case.asked_at - there).total_seconds() - 1  # it was made between these two moments
    late = (there - case.answered_at).total_seconds()
    skew = max(early, late, 0.0)
    told = f"This host's clock is {skew:.0f} s {'ahead of' if early > late else 'behind'} the provider's."
    if skew <= SKEW_NOTED:
        yield fine("This host and the provider agree on the time.")
    elif skew <= LEEWAY_SECONDS:
        yield doubtful(told, "Let this host keep its time by NTP.")
    else:
        yield wrong(
            told, "Let this host keep its time by NTP: id_tokens are refused, and no mailbox is connected."
        )


def _document(url: str) -> dict[str, Any] | Outcome:
    """Fetch a JSON object afresh, past what this process keeps."""
    try:
        reply = fetch_json(url)
    except (TransportError, ConfigurationError) as error:
        return of_fault(error)
    try:
        found = json.loads(reply.body) if reply.status == 200 else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    return wrong(
        f"No JSON document at {_shown(url)} (http_{reply.status}).", 'Check "ISSUER", "TENANT" and the URLs.'
    )


def _date(reply: HttpReply | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(reply.header("date")) if reply else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _shown(value: object) -> str:
    """Return what a provider says, as it may be shown: short, and in quotes."""
    return repr(str(value)[:200])


def endpoint_rounds(provider: Provider) -> list[Round]:
    """Return the rounds of a provider's endpoints, which run side by side."""
    rounds = [Round(provider.alias, probes, Case(provider)) for probes in (DISCOVERY, KEYS, TOKEN)]
    return [*rounds, Round(provider.alias, certificates.PROBES, provider)]


DISCOVERY = (
    Probe(
        id="provider.discovery",
        what="the discovery document: its issuer, endpoints, and ways to authenticate",
        look=_discovery,
    ),
)
KEYS = (Probe(id="provider.keys", what="the keys that id_tokens are verified by", look=_keys),)
TOKEN = (
    Probe(
        id="provider.token",
        what="the token endpoint, with a made-up refresh token: whether the client is accepted, by each of its secrets",
        look=_token,
    ),
    Probe(
        id="provider.clock",
        what=f"the provider's clock, by the date of its reply: more than {SKEW_NOTED:.0f} s apart",
        look=_clock,
    ),
)
PROBES = (*DISCOVERY, *KEYS, *TOKEN, *certificates.PROBES)
