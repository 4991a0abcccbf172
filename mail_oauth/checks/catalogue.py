"""Every system check of this app, as data: its id, when it runs, what it finds and the line that mends it.

An id keeps its meaning for good, since sites silence checks by it. `docs/checks.md` is made of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  # Django's own name

from mail_oauth.checks.production import DEPLOYED, OF_DATABASE, OF_VALUES

Found = Iterator[CheckMessage]


class When(StrEnum):
    """Which command runs a check; `manage.py mail_oauth doctor` runs all."""

    ALWAYS = "check"
    DEPLOY = "check --deploy"
    DATABASE = "check --database default"
    DEPLOYED_DATABASE = "check --deploy --database default"


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of mistake. `number` is the id without the app's label; `line` is what to write, in general."""

    number: str
    when: When
    what: str
    line: str

    @property
    def id(self) -> str:
        """The id by which Django knows it."""
        return f"mail_oauth.{self.number}"

    @property
    def level(self) -> type[Error] | type[Warning]:
        """Whether something surely fails, or may."""
        return Error if self.number.startswith("E") else Warning


def found(number: str, text: str, hint: str | None = None) -> CheckMessage:
    """Return the message of a check; its hint is the line of the catalogue unless a more exact one is given.

    Raises `KeyError` for an id that the catalogue lacks.
    """
    check = CATALOGUE[number]
    return check.level(text, hint=check.line if hint is None else hint, id=check.id)


_ANYWHERE = {
    "E001": ("a setting that does not exist, or of a wrong type", "the nearest name, or the type"),
    "E002": ("a provider's options are incomplete, unknown or of a wrong type", 'e.g. `"CLIENT_ID": "…"`'),
    "E003": ("`FERNET_KEYS` holds something that is no key", 'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]'),
    "E004": (
        "a call may outlast its lease, or a caller give up too early",
        'MAIL_OAUTH["LEASE_SECONDS"] = 60, MAIL_OAUTH["WAIT_TIMEOUT"] = 25',
    ),
    "E005": ("`CACHE` names a cache that `CACHES` does not have", 'MAIL_OAUTH["CACHE"] = "default"'),
    "E006": (
        "an endpoint that may not be called: plain http, or a private address",
        'an https URL, or MAIL_OAUTH["PRIVATE_HOSTS"] = ["sso.internal"]',
    ),
    "E009": ("a model with a sealed column names no place for its values", "def place(self, column: str) -> str"),
    "E011": (
        "several sources of keys are given",
        'one of FERNET_KEYS, MAIL_OAUTH["KEYS_FILE"] and MAIL_OAUTH["KEYS"]',
    ),
    "E012": ("the source of keys gives none", "manage.py mail_oauth generate_key"),
    "E013": (
        "`BASE_URL` is more or less than a scheme and a host",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    "E015": (
        "the session cookie does not come back with the provider's answer (`SameSite`, domain, path)",
        'SESSION_COOKIE_SAMESITE = "Lax"',
    ),
    "E016": (
        "the middleware for sessions, users or CSRF is missing, or in a wrong order",
        'MIDDLEWARE += ["django.middleware.csrf.CsrfViewMiddleware"]',
    ),
    "E019": (
        "sessions are kept in the database, without `django.contrib.sessions`",
        'INSTALLED_APPS += ["django.contrib.sessions"]',
    ),
    "E020": (
        "no URL leads to the pages of this app, nor to the redirect URI",
        'urlpatterns += [path("mail/", include("mail_oauth.urls"))]',
    ),
    "E021": (
        "no template engine finds this app's pages, or gives them `request`",
        'TEMPLATES: "APP_DIRS": True, and "django.template.context_processors.request"',
    ),
    "E022": (
        "Microsoft: scopes of several resources in one token request (AADSTS28000)",
        '"SCOPES" of https://outlook.office.com only',
    ),
    "E023": (
        "Microsoft: mail scopes at Graph, whose tokens IMAP, POP and SMTP refuse",
        '"https://outlook.office.com/IMAP.AccessAsUser.All"',
    ),
    "E024": (
        "no refresh token would be given",
        '"offline_access" in "SCOPES" (Microsoft), "access_type": "offline" (Google)',
    ),
    "E025": (
        "Microsoft: endpoints, scopes or mail servers of several clouds or tenants",
        '"CLOUD": "usgov", "TENANT": "contoso.com", and nothing else',
    ),
    "E026": (
        "`AUTHORIZE_PARAMETERS` sets what the flow sets, or an answer that it cannot read",
        '"AUTHORIZE_PARAMETERS": {"response_mode": "query"}',
    ),
    "E027": ("a scope that is no scope: several in one string of a list", '"SCOPES": ["openid", "mail"]'),
    "E028": (
        "database routers send this app's tables, or users, to several databases",
        "db_for_write: one alias for mail_oauth and the user model",
    ),
    "E029": ("`USE_TZ` is off: moments would be taken for other ones", "USE_TZ = True"),
    "E030": ("a setting of 0 with which upkeep or consents stand still", 'MAIL_OAUTH["BATCH_SIZE"] = 100'),
    "E031": (
        "`VERIFY_CONNECT` tries a protocol that no scope asks for",
        '"https://outlook.office.com/IMAP.AccessAsUser.All" in "SCOPES"',
    ),
    "E035": (
        "Microsoft: access without a user, at an endpoint of many tenants (AADSTS9001023)",
        '"TENANT": "contoso.com"',
    ),
    "E036": (
        "Microsoft: access without a user, with other scopes than a resource's `/.default`",
        '"SCOPES": ["https://outlook.office365.com/.default"]',
    ),
    "E040": (
        "notices are on, and nothing says what their links begin with",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    "E041": (
        "a function of `NOTIFY_ADDRESS` or `NOTIFY_LANGUAGE` is not there",
        'MAIL_OAUTH["NOTIFY_LANGUAGE"] = "project.people.language_of"',
    ),
    "E042": ("notices are on, and go to nobody", 'MAIL_OAUTH["NOTIFY_OPERATORS"] = ["ops@your.site"]'),
    "E043": ("`NOTIFY_MAILER` names a mailer that `MAILERS` lacks", 'MAIL_OAUTH["NOTIFY_MAILER"] = "default"'),
    "W005": (
        "a client id or secret that no provider gave out: a placeholder, quotes, white space, a secret's id; one that stands twice",
        '"CLIENT_SECRET": os.environ["MICROSOFT_CLIENT_SECRET"]',
    ),
    "W014": (
        "secret, `CLIENT_AUTH` and PKCE do not fit each other",
        '"CLIENT_AUTH": "post" with a secret, "none" and "USES_PKCE": True without',
    ),
    "W015": (
        "refresh tokens may be missing, or end with the user's session",
        '"offline_access" in "SCOPES" (OpenID Connect), "prompt": "consent" (Google)',
    ),
    "W016": (
        "Google: mail servers are wanted without the one scope that opens them",
        '"https://mail.google.com/" in "SCOPES"',
    ),
    "W017": (
        "callers ask for more validity than the sweep keeps up, and do its work",
        'MAIL_OAUTH["MIN_VALIDITY"] = 60, below REFRESH_MARGIN',
    ),
    "W021": (
        "`ATOMIC_REQUESTS` on SQLite: no view can refresh a token",
        "@transaction.non_atomic_requests on views that use tokens",
    ),
    "W027": (
        "Microsoft: personal accounts have no `outlook.office365.com`",
        '"https://outlook.office.com/IMAP.AccessAsUser.All"',
    ),
    "W040": (
        "notices go through mailboxes of this app, perhaps the dead ones",
        'MAIL_OAUTH["NOTIFY_MAILER"] = "plain", a mailer by SMTP with a password',
    ),
    "W041": (
        "users are mailed before the brake can be pulled",
        'MAIL_OAUTH["NOTIFY_AFTER"] = 600, at least CIRCUIT_WINDOW',
    ),
    "W028": ("the redirect URI depends on the user's language", "include mail_oauth.urls outside i18n_patterns()"),
    "W030": (
        "no page is where `LOGIN_URL` leads, to which users are sent to sign in",
        'LOGIN_URL = "admin:login"',
    ),
}
"""Wrong on any machine."""

_BY_WHEN = (
    (When.ALWAYS, _ANYWHERE),
    (When.DEPLOY, DEPLOYED),
    (When.DATABASE, OF_VALUES),
    (When.DEPLOYED_DATABASE, OF_DATABASE),
)

CATALOGUE = {
    number: Check(number, when, what, line)
    for number, when, (what, line) in sorted(
        (number, when, words) for when, part in _BY_WHEN for number, words in part.items()
    )
}
"""By number."""
