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
}
"""Wrong on any machine."""

_DEPLOYED = {
    "E007": (
        "any `Host` is let through, and redirect URIs would be made of it",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    "E008": (
        "`OAUTHLIB_INSECURE_TRANSPORT` is set: tokens may travel in clear",
        "unset OAUTHLIB_INSECURE_TRANSPORT",
    ),
    "E014": (
        "`BASE_URL` is not https: providers refuse such redirect URIs",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    "E037": (
        "a certificate, a service account's key or a platform's token cannot be read, is none, or has ended",
        '"CLIENT_CERTIFICATE": "/run/secrets/app.pem", with certificate and private key',
    ),
    "E046": ("`mail_oauth.testing` is installed", "INSTALLED_APPS without mail_oauth.testing"),
    "W035": (
        "a client's certificate ends within thirty days",
        '"CLIENT_CERTIFICATE": ["new.pem", "former.pem"], and the new one registered',
    ),
    "W002": ("tokens are sealed under a key made of `SECRET_KEY`", 'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]'),
    "W003": (
        "the cache is private to a process",
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", …}}',
    ),
    "W004": (
        "the cache pickles its values",
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", …}}',
    ),
    "W009": ("others on the machine may read the key file", "chmod 600"),
    "W010": (
        "values that are bound to no row are read",
        'manage.py mail_oauth bind_values, and no MAIL_OAUTH["ACCEPT_UNBOUND"]',
    ),
    "W006": (
        "behind a proxy that ends TLS, redirect URIs would begin with http://",
        'MAIL_OAUTH["BASE_URL"] = "https://your.site"',
    ),
    "W007": (
        "sessions are private to a process: another one knows no consent of theirs",
        'SESSION_ENGINE = "django.contrib.sessions.backends.db"',
    ),
    "W008": ("Django refuses the host of `BASE_URL`", 'ALLOWED_HOSTS = ["your.site"]'),
    "W018": (
        "`PRIVATE_HOSTS` lists this very machine, or a metadata service",
        'MAIL_OAUTH["PRIVATE_HOSTS"] without it',
    ),
    "W022": ("beat has no entry for `refresh_due`", "app.conf.beat_schedule |= mail_oauth_beat_schedule()"),
    "W023": (
        "`SECURE_PROXY_SSL_HEADER` names a header that no request has",
        'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")',
    ),
    "W024": (
        "workers unpickle messages, or refuse those of this app",
        'CELERY_ACCEPT_CONTENT = ["json"], CELERY_TASK_SERIALIZER = "json"',
    ),
    "W025": (
        "workers are killed in the middle of a sweep",
        "CELERY_TASK_TIME_LIMIT above BATCH_SECONDS + LEASE_SECONDS",
    ),
    "W029": (
        "the admin shows tokens in clear to staff who may see them",
        'MAIL_OAUTH["REVEAL_TOKENS"] = False',
    ),
    "W042": (
        "notices are not delivered, or come from nobody",
        'EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend", DEFAULT_FROM_EMAIL = "mail@your.site"',
    ),
    "W043": ("beat has no entry for `send_notices`", "app.conf.beat_schedule |= mail_oauth_beat_schedule()"),
    "W026": (
        "the cache drops values when it is full, parked token pairs among them",
        '"OPTIONS": {"MAX_ENTRIES": 1_000_000}, or django-redis',
    ),
}
"""Right on a laptop, and wrong in production."""

_OF_VALUES = {
    "E010": (
        "most values are sealed under keys that the site does not have",
        "the keys, put back behind the first",
    ),
    "W011": (
        "some values are sealed under a key that the site does not have",
        "the key, put back behind the first",
    ),
}
"""Asked of the database wherever it is migrated."""

_OF_DATABASE = {
    "W019": (
        "SQLite as it is by default: of two processes that write, one is told that it is locked",
        '"OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL", "timeout": 20}',
    ),
    "W020": (
        "the database reports commits that a crash may lose, with rotated tokens in them",
        "synchronous_commit = on, innodb_flush_log_at_trx_commit = 1, PRAGMA synchronous=FULL",
    ),
}
"""Asked of the database itself."""

_BY_WHEN = (
    (When.ALWAYS, _ANYWHERE),
    (When.DEPLOY, _DEPLOYED),
    (When.DATABASE, _OF_VALUES),
    (When.DEPLOYED_DATABASE, _OF_DATABASE),
)

CATALOGUE = {
    number: Check(number, when, what, line)
    for number, when, (what, line) in sorted(
        (number, when, words) for when, part in _BY_WHEN for number, words in part.items()
    )
}
"""By number."""
