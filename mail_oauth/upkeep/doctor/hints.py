"""What a provider's answer to a made-up token means, or a fault on the way to it, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers import Provider
from mail_oauth.providers.client_secrets import ordinal
from mail_oauth.refresh.classification import Action, Trouble
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, wrong

_RENEW = 'Make a new secret at the app\'s registration and write its value (not its id) to "CLIENT_SECRET".'
_TENANT = 'Write "TENANT": the GUID or domain of the organisation that the app is registered for.'
_SCOPES = 'Write "SCOPES" of one resource, https://outlook.office.com/…, beside "openid", "profile", "email", "offline_access".'
_PLATFORM = 'Register the redirect URI as a "web" one, and give "CLIENT_SECRET".'
_WAY = 'See whether a firewall is between, or MAIL_OAUTH["PROXY"] is needed.'

_REGISTER = 'Register the certificate of "CLIENT_CERTIFICATE" at the app, under "Certificates & secrets".'
_FEDERATE = (
    "Compare issuer, subject and audience of the platform's token with the app's \"Federated credentials\"."
)

_DELEGATE = (
    'Have the domain\'s administrator enter its client id, with the scopes, under "Domain-wide delegation".'
)

_ONE_OF_SEVERAL = (
    'Take it out of "CLIENT_SECRET" if it has been replaced; else write the value of the new one (not its id).'
)

HINTS = {
    "AADSTS7000215": _RENEW,
    "AADSTS7000222": f"The secret has expired. {_RENEW}",
    "AADSTS700016": f'No such app in that tenant: check "CLIENT_ID". {_TENANT}',
    "AADSTS70001": 'No such app: check "CLIENT_ID".',
    "AADSTS7000112": "The app is disabled: enable it in Entra, under its enterprise applications.",
    "AADSTS50194": f"The app is registered for one organisation alone, and all may sign in here. {_TENANT}",
    "AADSTS90002": f"There is no such tenant. {_TENANT}",
    "AADSTS90038": f'The tenant lies in another cloud: write "CLOUD". {_TENANT}',
    "AADSTS28000": _SCOPES,
    "AADSTS70011": _SCOPES,
    "AADSTS700022": _SCOPES,
    "AADSTS7000218": _PLATFORM,
    "AADSTS700025": 'The app is a public client: take "CLIENT_SECRET" out with a provider class of your own, or make it confidential.',
    "AADSTS9002331": 'The app is for personal accounts only: write "TENANT": "consumers".',
    "AADSTS9002332": 'The app is for work and school accounts only: write "TENANT": "organizations".',
    "AADSTS9001023": f"An app has access without a user at one tenant. {_TENANT}",
    "AADSTS700027": _REGISTER,
    "AADSTS700024": "Let this host keep its time by NTP: an assertion is good for five minutes.",
    "AADSTS700211": _FEDERATE,
    "AADSTS700212": _FEDERATE,
    "AADSTS700213": _FEDERATE,
    "invalid_grant_signature": 'Make a new key of the service account, and write its JSON file to "SERVICE_ACCOUNT".',
    "invalid_grant_clock": "Let this host keep its time by NTP: an assertion is good for an hour.",
    "invalid_client": 'Compare "CLIENT_ID" and "CLIENT_SECRET" with the app\'s registration, then try the other "CLIENT_AUTH".',
    "unauthorized_client": "Let the app use the grant types authorization_code and refresh_token, at its registration.",
    "invalid_scope": 'Compare "SCOPES" with what the app may ask for.',
    "redirect": 'Write the "TOKEN_URL" that it redirects to: a token request follows no redirect.',
    "dns": "See that this host can resolve the name.",
    "refused": _WAY,
    "connect_timeout": _WAY,
    "proxy": 'Check MAIL_OAUTH["PROXY"], or the proxy of the environment.',
    "tls": 'Name the authority that signed its certificate in MAIL_OAUTH["CA_BUNDLE"].',
}
"""By the reason of a verdict, or the cause of a fault."""


def of_fault(error: TransportError | ConfigurationError) -> Outcome:
    """Return what a call that brought no reply means."""
    if isinstance(error, ConfigurationError):
        return wrong("It may not be called, as it is configured.", str(error))
    return wrong(str(error), HINTS.get(error.cause, "Try again; see its status page."))


def of_verdicts(verdicts: Sequence[Verdict], provider: Provider) -> Iterator[Outcome]:
    """Yield what the answers to made-up refresh tokens mean, one for each of the client's secrets in their order."""
    refused = {place: each.reason for place, each in enumerate(verdicts) if each.trouble is Trouble.CLIENT}
    number = len(verdicts)
    if 1 < number == len(refused):
        told = ", ".join(f"the {ordinal(place)} ({reason})" for place, reason in refused.items())
        yield wrong(f"Each of the {number} client secrets is refused: {told}.", _of_client_refused(refused[0]))
        return
    yield _of_verdict(
        next((each for each in verdicts if each.trouble is not Trouble.CLIENT), verdicts[0]), provider
    )
    if number > 1:
        for place, reason in refused.items():
            yield doubtful(
                f"The {ordinal(place)} of {number} client secrets is refused ({reason}).", _ONE_OF_SEVERAL
            )


def _of_client_refused(reason: str) -> str:
    return HINTS.get(reason, HINTS["invalid_client"])


def _of_verdict(verdict: Verdict, provider: Provider) -> Outcome:
    if provider.is_app_only:
        outcome = _of_app(verdict)
        if outcome is not None:
            return outcome
    elif verdict.action in {Action.REAUTH, Action.GRANTED}:
        return _of_client_accepted(verdict, provider)
    reason = verdict.reason
    if verdict.trouble is Trouble.CLIENT:
        return wrong(f"The client is refused ({reason}).", _of_client_refused(reason))
    if verdict.action in {Action.OPERATOR, Action.BUG, Action.ADMIN}:
        return wrong(f"The request is refused ({reason}).", HINTS.get(reason, "See the app's registration."))
    if verdict.lasting is Action.UNKNOWN:
        return doubtful(f"Its answer says nothing of the client ({reason}).", "Connect a mailbox to see.")
    return doubtful(f"It cannot be asked now ({reason}).", "Try again; see the provider's status page.")


def _of_app(verdict: Verdict) -> Outcome | None:
    """Say that the app was accepted; None where it was not."""
    if verdict.action is Action.GRANTED:
        return fine("The app is given a token of its own; whether it opens a mailbox, `test_mailbox` shows.")
    if verdict.reason == "invalid_grant_mailbox":
        return fine("The service account is accepted; whether it opens a mailbox, `test_mailbox` shows.")
    if verdict.reason == "unauthorized_client":
        return wrong(f"The service account is not let in ({verdict.reason}).", _DELEGATE)
    return None


def _of_client_accepted(verdict: Verdict, provider: Provider) -> Outcome:
    if verdict.action is Action.GRANTED:
        return wrong(
            "It gave tokens for a refresh token that was made up.", "Do not use this endpoint, whatever it is."
        )
    told = f"a made-up token is refused for itself ({verdict.reason})"
    if provider.error_family == "microsoft":
        return fine(f"It answers, {told}; that the secret is right, only refreshes prove (mailboxes.refreshes).")
    return fine(f"The client is accepted: {told}.")
