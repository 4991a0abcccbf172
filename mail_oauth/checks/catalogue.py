"""Every system check of this app, as data: its id, when it runs, what it finds and the line that mends it.

An id keeps its meaning for good, since sites silence checks by it. `docs/checks.md` is made of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  # Django's own name

Found = Iterator[CheckMessage]


class When(StrEnum):
    """Which command runs a check; `manage.py mail_oauth doctor` runs all."""

    ALWAYS = "check"
    DEPLOY = "check --deploy"
    DATABASE = "check --deploy --database default"


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


_A, _D, _Q = When.ALWAYS, When.DEPLOY, When.DATABASE

_CHECKS = (
    Check("E001", _A, "a setting that does not exist, or of a wrong type", "the nearest name, or the type"),
    Check(
        "E002", _A, "a provider's options are incomplete, unknown or of a wrong type", 'e.g. `"CLIENT_ID": "…"`'
    ),
    Check(
        "E003",
        _A,
        "`FERNET_KEYS` holds something that is no key",
        'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]',
    ),
    Check(
        "E004",
        _A,
        "a call may outlast its lease, or a caller give up too early",
        'MAIL_OAUTH["LEASE_SECONDS"] = 60, MAIL_OAUTH["WAIT_TIMEOUT"] = 25',
    ),
    Check("E005", _A, "`CACHE` names a cache that `CACHES` does not have", 'MAIL_OAUTH["CACHE"] = "default"'),
    Check(
        "E006",
        _A,
        "an endpoint that may not be called: plain http, or a private address",
        'an https URL, or MAIL_OAUTH["PRIVATE_HOSTS"] = ["sso.internal"]',
    ),
    Check(
        "E007",
        _D,
        "any `Host` is let through, and redirect URIs would be made of it",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    Check(
        "E008",
        _D,
        "`OAUTHLIB_INSECURE_TRANSPORT` is set: tokens may travel in clear",
        "unset OAUTHLIB_INSECURE_TRANSPORT",
    ),
    Check(
        "E013",
        _A,
        "`BASE_URL` is more or less than a scheme and a host",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    Check(
        "E014",
        _D,
        "`BASE_URL` is not https: providers refuse such redirect URIs",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    Check(
        "E015",
        _A,
        "the session cookie does not come back with the provider's answer (`SameSite`, domain, path)",
        'SESSION_COOKIE_SAMESITE = "Lax"',
    ),
    Check(
        "E016",
        _A,
        "the middleware for sessions, users or CSRF is missing, or in a wrong order",
        'MIDDLEWARE += ["django.middleware.csrf.CsrfViewMiddleware"]',
    ),
    Check(
        "E019",
        _A,
        "sessions are kept in the database, without `django.contrib.sessions`",
        'INSTALLED_APPS += ["django.contrib.sessions"]',
    ),
    Check(
        "E020",
        _A,
        "no URL leads to the pages of this app, nor to the redirect URI",
        'urlpatterns += [path("mail/", include("mail_oauth.urls"))]',
    ),
    Check(
        "E021",
        _A,
        "no template engine finds this app's pages, or gives them `request`",
        'TEMPLATES: "APP_DIRS": True, and "django.template.context_processors.request"',
    ),
    Check(
        "E022",
        _A,
        "Microsoft: scopes of several resources in one token request (AADSTS28000)",
        '"SCOPES" of https://outlook.office.com only',
    ),
    Check(
        "E023",
        _A,
        "Microsoft: mail scopes at Graph, whose tokens IMAP, POP and SMTP refuse",
        '"https://outlook.office.com/IMAP.AccessAsUser.All"',
    ),
    Check(
        "E024",
        _A,
        "no refresh token would be given",
        '"offline_access" in "SCOPES" (Microsoft), "access_type": "offline" (Google)',
    ),
    Check(
        "E025",
        _A,
        "Microsoft: endpoints, scopes or mail servers of several clouds or tenants",
        '"CLOUD": "usgov", "TENANT": "contoso.com", and nothing else',
    ),
    Check(
        "E026",
        _A,
        "`AUTHORIZE_PARAMETERS` sets what the flow sets, or an answer that it cannot read",
        '"AUTHORIZE_PARAMETERS": {"response_mode": "query"}',
    ),
    Check("E027", _A, "a scope that is no scope: several in one string of a list", '"SCOPES": ["openid", "mail"]'),
    Check(
        "E028",
        _A,
        "database routers send this app's tables, or users, to several databases",
        "db_for_write: one alias for mail_oauth and the user model",
    ),
    Check("E029", _A, "`USE_TZ` is off: moments would be taken for other ones", "USE_TZ = True"),
    Check(
        "E030", _A, "a setting of 0 with which upkeep or consents stand still", 'MAIL_OAUTH["BATCH_SIZE"] = 100'
    ),
    Check("W001", _D, "`mail_oauth.testing` is installed", "INSTALLED_APPS without mail_oauth.testing"),
    Check(
        "W002",
        _D,
        "tokens are sealed under a key made of `SECRET_KEY`",
        'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]',
    ),
    Check(
        "W003",
        _D,
        "the cache is private to a process",
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", …}}',
    ),
    Check(
        "W004",
        _D,
        "the cache pickles its values",
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", …}}',
    ),
    Check(
        "W005",
        _A,
        "a client id or secret that no provider gave out: a placeholder, quotes, white space, a secret's id",
        '"CLIENT_SECRET": os.environ["MICROSOFT_CLIENT_SECRET"]',
    ),
    Check(
        "W006",
        _D,
        "behind a proxy that ends TLS, redirect URIs would begin with http://",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    Check(
        "W007",
        _D,
        "sessions are private to a process: another one knows no consent of theirs",
        'SESSION_ENGINE = "django.contrib.sessions.backends.db"',
    ),
    Check("W008", _D, "Django refuses the host of `BASE_URL`", 'ALLOWED_HOSTS = ["your.site"]'),
    Check(
        "W014",
        _A,
        "secret, `CLIENT_AUTH` and PKCE do not fit each other",
        '"CLIENT_AUTH": "post" with a secret, "none" and "USES_PKCE": True without',
    ),
    Check(
        "W015",
        _A,
        "refresh tokens may be missing, or end with the user's session",
        '"offline_access" in "SCOPES" (OpenID Connect), "prompt": "consent" (Google)',
    ),
    Check(
        "W016",
        _A,
        "Google: mail servers are wanted without the one scope that opens them",
        '"https://mail.google.com/" in "SCOPES"',
    ),
    Check(
        "W017",
        _A,
        "callers ask for more validity than the sweep keeps up, and do its work",
        'MAIL_OAUTH["MIN_VALIDITY"] = 60, below REFRESH_MARGIN',
    ),
    Check(
        "W018",
        _D,
        "`PRIVATE_HOSTS` lists this very machine, or a metadata service",
        'MAIL_OAUTH["PRIVATE_HOSTS"] without it',
    ),
    Check(
        "W019",
        _Q,
        "SQLite as it is by default: of two processes that write, one is told that it is locked",
        '"OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL", "timeout": 20}',
    ),
    Check(
        "W020",
        _Q,
        "the database reports commits that a crash may lose, with rotated tokens in them",
        "synchronous_commit = on, innodb_flush_log_at_trx_commit = 1, PRAGMA synchronous=FULL",
    ),
    Check(
        "W021",
        _A,
        "`ATOMIC_REQUESTS` on SQLite: no view can refresh a token",
        "@transaction.non_atomic_requests on views that use tokens",
    ),
    Check(
        "W022",
        _D,
        "beat has no entry for `refresh_due`",
        "app.conf.beat_schedule |= mail_oauth_beat_schedule()",
    ),
    Check(
        "W023",
        _D,
        "`SECURE_PROXY_SSL_HEADER` names a header that no request has",
        'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")',
    ),
    Check(
        "W024",
        _D,
        "workers unpickle messages, or refuse those of this app",
        'CELERY_ACCEPT_CONTENT = ["json"], CELERY_TASK_SERIALIZER = "json"',
    ),
    Check(
        "W025",
        _D,
        "workers are killed in the middle of a sweep",
        "CELERY_TASK_TIME_LIMIT above BATCH_SECONDS + LEASE_SECONDS",
    ),
    Check(
        "W026",
        _D,
        "the cache drops values when it is full, parked token pairs among them",
        '"OPTIONS": {"MAX_ENTRIES": 1_000_000}, or django-redis',
    ),
    Check(
        "W027",
        _A,
        "Microsoft: personal accounts have no `outlook.office365.com`",
        '"https://outlook.office.com/IMAP.AccessAsUser.All"',
    ),
    Check(
        "W028",
        _A,
        "the redirect URI depends on the user's language",
        "include mail_oauth.urls outside i18n_patterns()",
    ),
)

CATALOGUE = {check.number: check for check in _CHECKS}
"""By number."""
