"""A mistake in an otherwise right site is found by `manage.py check`: that one, nothing else, with the line to write."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from celery import Celery
from django import VERSION as DJANGO
from django.test.utils import override_script_prefix
from django.urls import reverse_lazy

from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.tokens import MailServer, Secret
from tests.checks.conftest import GOOGLE, MICROSOFT, OIDC, PLAIN, numbers

PRIVATE_CACHE = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
REDIS_CACHE = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
PICKLING_CACHE = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
FILES = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/nowhere"}
MEMCACHED = {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "127.0.0.1:1"}
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
OUTLOOK = "https://outlook.office.com/IMAP.AccessAsUser.All"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "mail_oauth"]


class Mistake(NamedTuple):
    number: str
    words: str
    """What the message, or its hint, must say."""
    changes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.number}: {self.words}"


def ours(number: str, words: str, **settings: Any) -> Mistake:
    return Mistake(number, words, {"ours": settings})


def provider(number: str, words: str, base: dict[str, Any], alias: str = "", **options: Any) -> Mistake:
    """One provider's options are wrong."""
    alias = alias or {"microsoft": "microsoft", "google": "google"}.get(_name_of(base), "other")
    return ours(number, words, PROVIDERS={alias: {**base, **options}})


def _name_of(base: dict[str, Any]) -> str:
    return "microsoft" if base is MICROSOFT else "google" if base is GOOGLE else ""


def django(number: str, words: str, **settings: Any) -> Mistake:
    return Mistake(number, words, settings)


def notices(number: str, words: str, backend: str = SMTP, **settings: Any) -> Mistake:
    """Notices are on, and something about them is wrong."""
    on = {"NOTIFY": "users", "NOTIFY_FROM": "mail@your.site", **settings}
    return Mistake(number, words, {**mailed_by(backend), "ours": on})


def mailed_by(backend: str) -> dict[str, Any]:
    if DJANGO >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": backend}}}
    return {"EMAIL_BACKEND": backend}


def without(path: str) -> list[str]:
    return [listed for listed in (SESSIONS, USERS, CSRF) if listed != path]


MISTAKES = [
    ours("E001", "REFRESH_MARGIN", REFRESH_MARGN=1),
    ours("E001", "number", REFRESH_MARGIN="300"),
    ours("E001", "list", PRIVATE_HOSTS="localhost"),
    ours("E001", "= 'refuse'", SHARED_MAILBOXES="refused"),
    ours("E001", "= 'imap'", VERIFY_CONNECT="imaps"),
    provider("E002", 'add "CLIENT_ID"', {}, "microsoft"),
    provider(
        "E002", "CLIENT_SECRET, which is None: is the environment variable set", MICROSOFT, CLIENT_SECRET=None
    ),
    provider("E002", "CLIENT_ID, which is ''", GOOGLE, CLIENT_ID=""),
    provider("E002", '["CLIENT_SECRET"] is an empty list: write "CLIENT_SECRET": ["…"]', GOOGLE, CLIENT_SECRET=[]),
    provider("E002", "is an empty list", {"CLIENT_ID": "a-public-client"}, "fastmail", CLIENT_SECRET=()),
    provider("E002", "the second of 2 is '': is the environment", GOOGLE, CLIENT_SECRET=["GOCSPX-abcDEF", ""]),
    provider("E002", "the first of 2 is None: is the environment", GOOGLE, CLIENT_SECRET=(None, "GOCSPX-abcDEF")),
    provider("E002", "the first of 1 must be a string, not int", GOOGLE, CLIENT_SECRET=[1234]),
    provider("E002", "a string, or a list of strings, not set", GOOGLE, CLIENT_SECRET={"GOCSPX-abcDEF"}),
    provider("E002", "no option 'TENNANT'. Did you mean 'TENANT'?", MICROSOFT, TENNANT="x"),
    provider("E002", "no option 'scope'. Did you mean 'SCOPES'?", GOOGLE, scope="x"),
    provider("E002", "CLASS", {}, "mycorp"),
    provider("E002", "TENANT", MICROSOFT, TENANT="../evil"),
    provider("E002", "CLOUD", MICROSOFT, CLOUD="germany"),
    provider("E002", "alias", {**GOOGLE, "CLASS": "google"}, "my mail"),
    provider("E002", "CALLS_PER_SECOND", GOOGLE, CALLS_PER_SECOND=0),
    provider("E002", "REFRESH_POLICY", GOOGLE, REFRESH_POLICY="allways"),
    provider("E002", '["IMAP"] must be a server', PLAIN, IMAP="imap.example.com"),
    provider("E002", "a list of strings, not set", PLAIN, SCOPES={"mail"}),
    provider("E002", "a dict of strings, not list", PLAIN, AUTHORIZE_PARAMETERS=["prompt"]),
    provider("E002", '["CLIENT_ID"] must be a string, not int', GOOGLE, CLIENT_ID=1234),
    provider("E002", '["CLIENT_ID"] must be a string, not Secret', GOOGLE, CLIENT_ID=Secret("x")),
    provider("E002", '["TOKEN_URL"] must be a string, not Secret', GOOGLE, TOKEN_URL=Secret("https://x.example")),
    provider("E002", '["USES_PKCE"] must be True or False, not str', PLAIN, USES_PKCE="no"),
    ours("E004", "LEASE_SECONDS", LEASE_SECONDS=20),
    ours("E004", "READ_TIMEOUT", LEASE_SECONDS=35),
    ours("E004", "WAIT_TIMEOUT", WAIT_TIMEOUT=5),
    ours("E004", "+ 5 s for a turn", LEASE_SECONDS=38, PROVIDERS={"google": {**GOOGLE, "CALLS_PER_SECOND": 9}}),
    ours("E004", "+ 5 s for a turn", WAIT_TIMEOUT=24, PROVIDERS={"google": {**GOOGLE, "CALLS_PER_SECOND": 9}}),
    provider("E006", "https", GOOGLE, TOKEN_URL="http://evil.example/"),
    provider("E006", "PRIVATE_HOSTS", GOOGLE, TOKEN_URL="https://169.254.169.254/"),
    provider("E006", "https", OIDC, ISSUER="http://sso.example.com"),
    Mistake("E007", "BASE_URL", {"ALLOWED_HOSTS": ["*"], "ours": {"BASE_URL": ""}}),
    ours("E038", "No such file or directory", CA_BUNDLE="/nowhere/company.pem"),
    ours("E038", "holds no certificate", CA_BUNDLE=__file__),
    ours("E013", "does not begin with https://", BASE_URL="your.site"),
    ours("E013", "does not begin with https://", BASE_URL="https:///mail"),
    ours("E013", "FORCE_SCRIPT_NAME", BASE_URL="https://your.site/app"),
    ours("E013", "holds more than a host", BASE_URL="https://your.site?"),
    ours("E013", "holds more than a host", BASE_URL="https://ada@your.site"),
    ours("E013", "holds a character", BASE_URL="https://your.site\n"),
    ours("E013", "is no URL", BASE_URL="https://[your.site"),
    ours("E014", 'Write MAIL_OAUTH["BASE_URL"] = "https://your.site"', BASE_URL="http://your.site"),
    django("E015", '"Strict"', SESSION_COOKIE_SAMESITE="Strict"),
    django("E015", "SESSION_COOKIE_SECURE = True", SESSION_COOKIE_SAMESITE="None"),
    django("E015", "SESSION_COOKIE_DOMAIN", SESSION_COOKIE_DOMAIN=".another.site"),
    django("E015", "SESSION_COOKIE_DOMAIN", SESSION_COOKIE_DOMAIN="r.site"),
    django("E015", "SESSION_COOKIE_PATH", SESSION_COOKIE_PATH="/shop"),
    django("E015", "SESSION_COOKIE_PATH", SESSION_COOKIE_PATH="/ma"),
    django("E016", SESSIONS, MIDDLEWARE=without(SESSIONS)),
    django("E016", USERS, MIDDLEWARE=without(USERS)),
    django("E016", CSRF, MIDDLEWARE=without(CSRF)),
    django("E016", f'Put "{SESSIONS}" before', MIDDLEWARE=[CSRF, USERS, SESSIONS]),
    django("E020", 'include("mail_oauth.urls")', ROOT_URLCONF="tests.checks.urls_nowhere"),
    django("E021", "APP_DIRS", TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}]),
    django(
        "E021",
        "context_processors.request",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    ),
    provider("E022", "AADSTS28000", MICROSOFT, SCOPES=["offline_access", OUTLOOK, "User.Read"]),
    provider(
        "E022",
        "graph.microsoft.com",
        MICROSOFT,
        SCOPES=f"offline_access {OUTLOOK} https://graph.microsoft.com/Mail.Read",
    ),
    provider(
        "E023",
        f'Write "{OUTLOOK}"',
        MICROSOFT,
        SCOPES=["offline_access", "https://graph.microsoft.com/IMAP.AccessAsUser.All"],
    ),
    provider("E023", f'Write "{OUTLOOK}"', MICROSOFT, SCOPES=["offline_access", "IMAP.AccessAsUser.All"]),
    provider(
        "E023",
        'Write "https://outlook.office365.us/SMTP.Send"',
        MICROSOFT,
        CLOUD="usgov",
        SCOPES=["offline_access", "https://graph.microsoft.us/SMTP.Send"],
    ),
    provider("E024", "offline_access", MICROSOFT, SCOPES=["openid", OUTLOOK]),
    provider("E024", '"access_type": "offline"', GOOGLE, AUTHORIZE_PARAMETERS={"prompt": "consent"}),
    provider("E025", "outlook.office.com (global)", MICROSOFT, CLOUD="usgov", SCOPES=["offline_access", OUTLOOK]),
    provider("E025", "login.microsoftonline.us (usgov)", MICROSOFT, AUTHORITY="https://login.microsoftonline.us"),
    provider(
        "E025",
        "partner.outlook.cn (china)",
        MICROSOFT,
        IMAP=MailServer(host="partner.outlook.cn", port=993),
    ),
    provider("E025", "personal accounts", MICROSOFT, CLOUD="china", TENANT="consumers"),
    provider(
        "E025",
        "contoso.com (TOKEN_URL)",
        MICROSOFT,
        TOKEN_URL="https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token",
    ),
    provider("E026", "'state'", PLAIN, AUTHORIZE_PARAMETERS={"state": "mine"}),
    provider("E026", "'form_post'", MICROSOFT, AUTHORIZE_PARAMETERS={"response_mode": "form_post"}),
    provider("E026", '"prompt": "none"', PLAIN, AUTHORIZE_PARAMETERS={"prompt": "none"}),
    provider("E027", "'openid,mail'", PLAIN, SCOPES=["openid,mail"]),
    provider("E027", "'openid mail'", PLAIN, SCOPES=["openid mail"]),
    provider("E027", "which is not one scope", PLAIN, SCOPES=["https://a.example/xhttps://a.example/y"]),
    provider("E027", "which is not one scope", PLAIN, SCOPES=['"mail"']),
    django("E028", "CredentialEvent", DATABASE_ROUTERS=["tests.routers.HistoryElsewhere"]),
    django("E028", "auth.User", DATABASE_ROUTERS=["tests.routers.UsersElsewhere"]),
    django("E028", "DATABASES does not have", DATABASE_ROUTERS=["tests.routers.Nowhere"]),
    django("E028", "allow_migrate", DATABASE_ROUTERS=["tests.routers.NoTables"]),
    django("E029", "USE_TZ", USE_TZ=False),
    *(ours("E030", f'Write MAIL_OAUTH["{name}"] = ', **{name: 0}) for name in ("BATCH_SIZE", "BATCH_TASKS")),
    ours("E030", "every consent is over", STATE_SECONDS=0),
    ours("E030", "no provider can be called", READ_TIMEOUT=0.0),
    notices("E041", "cannot be imported (ModuleNotFoundError)", NOTIFY_LANGUAGE="project.people.language_of"),
    notices("E041", "is no function", NOTIFY_ADDRESS="mail_oauth.__version__"),
    notices("E042", 'NOTIFY_OPERATORS"] = ["ops@your.site"]', NOTIFY="operators"),
    notices("E042", "no operators are named", NOTIFY="all"),
    notices("E042", '"NOTIFY"] = "all"', NOTIFY_MASS_USERS=False),
    notices("E043", "MAILERS has no 'plain'", NOTIFY_MAILER="plain"),
    notices("W040", "may be the dead ones", "mail_oauth.backends.EmailBackend"),
    notices("W041", "below CIRCUIT_WINDOW (600 s)", NOTIFY_AFTER=60),
    notices("W042", "delivers no mail", "django.core.mail.backends.console.EmailBackend"),
    notices("W042", "webmaster@localhost", NOTIFY_FROM=""),
    django("E046", "mail_oauth.testing", INSTALLED_APPS=[*APPS, "mail_oauth.testing"]),
    django("W002", "FERNET_KEYS", FERNET_KEYS=[]),
    django("W003", "cannot be parked", CACHES={"default": PRIVATE_CACHE}),
    django("W004", "run code", CACHES={"default": PICKLING_CACHE}),
    provider("W005", '["CLIENT_ID"] is a placeholder', GOOGLE, CLIENT_ID="…"),
    *(
        provider("W005", '"CLIENT_SECRET": os.environ["GOOGLE_CLIENT_SECRET"]', GOOGLE, CLIENT_SECRET=secret)
        for secret in ("changeme", "***", "xxxx", "your-client-secret", "<secret>", "${SECRET}", "$SECRET", "None")
    ),
    provider("W005", "white space", GOOGLE, CLIENT_SECRET="GOCSPX-abc\n"),
    provider("W005", "quotes", GOOGLE, CLIENT_SECRET='"GOCSPX-abc"'),
    provider("W005", "is a GUID", MICROSOFT, CLIENT_SECRET="5e0d77a1-93bc-4c22-8a5f-61f3b20c9d04"),
    provider("W005", "the second of 2 is a placeholder", GOOGLE, CLIENT_SECRET=["GOCSPX-abcDEF", "changeme"]),
    provider(
        "W005", 'as os.environ["GOOGLE_CLIENT_SECRET"]', GOOGLE, CLIENT_SECRET=["GOCSPX-abcDEF\n", "GOCSPX-ghi"]
    ),
    provider(
        "W005", "the third of 3 is the first one again", GOOGLE, CLIENT_SECRET=["GOCSPX-a", "GOCSPX-b", "GOCSPX-a"]
    ),
    provider(
        "W005",
        "the second of 2 is a GUID",
        MICROSOFT,
        CLIENT_SECRET=["kX9~abcDEF", "5e0d77a1-93bc-4c22-8a5f-61f3b20c9d04"],
    ),
    provider("W014", "never sent", PLAIN, CLIENT_AUTH="none", CLIENT_SECRET=["kX9~abcDEF", "kX9~ghiJKL"]),
    ours("E031", "lacks POP.AccessAsUser.All", VERIFY_CONNECT="pop", PROVIDERS={"microsoft": MICROSOFT}),
    ours("W006", "BASE_URL", BASE_URL=""),
    django(
        "W007",
        "SESSION_ENGINE",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SESSION_CACHE_ALIAS="local",
        CACHES={"default": REDIS_CACHE, "local": PRIVATE_CACHE},
    ),
    django("W008", 'Add "your.site" to ALLOWED_HOSTS', ALLOWED_HOSTS=["another.site"]),
    provider("W014", "never sent", PLAIN, CLIENT_AUTH="none"),
    provider("W014", '"CLIENT_AUTH": "none"', PLAIN, CLIENT_SECRET=None, CLIENT_AUTH="basic"),
    provider("W014", '"USES_PKCE": True', PLAIN, CLIENT_SECRET=None, USES_PKCE=False),
    provider("W015", "offline_access", OIDC, SCOPES=["openid", "email", "mail"]),
    provider("W015", '"prompt": "consent"', GOOGLE, AUTHORIZE_PARAMETERS={"access_type": "offline"}),
    provider("W016", 'Add "https://mail.google.com/"', GOOGLE, SCOPES=["openid", "email", "mail"]),
    ours("W017", "below REFRESH_MARGIN", MIN_VALIDITY=301),
    *(ours("W018", f"Take '{host}' out", PRIVATE_HOSTS=[host]) for host in ("localhost", "127.0.0.1", "::1")),
    ours("W018", "metadata", PRIVATE_HOSTS=["169.254.169.254"]),
    ours("W029", '"REVEAL_TOKENS"] = False', REVEAL_TOKENS=True),
    django("W023", '("HTTP_X_FORWARDED_PROTO", "https")', SECURE_PROXY_SSL_HEADER=("X-Forwarded-Proto", "https")),
    django("W023", '("HTTP_X_FORWARDED_PROTO", "https")', SECURE_PROXY_SSL_HEADER="HTTP_X_FORWARDED_PROTO"),
    django("W026", "memcached", CACHES={"default": MEMCACHED}),
    django("W026", "keeps 300 values", CACHES={"default": FILES}),
    provider(
        "W027",
        f'Write "{OUTLOOK}"',
        MICROSOFT,
        TENANT="consumers",
        SCOPES=["offline_access", "https://outlook.office365.com/IMAP.AccessAsUser.All"],
    ),
    django("W028", "i18n_patterns", ROOT_URLCONF="tests.checks.urls_by_language"),
    django("W030", "'/accounts/login/'", LOGIN_URL="/accounts/login/"),  # Django's default
    django("W030", "'login', and no page is there", LOGIN_URL="login"),
    django("W030", "Reverse for 'login' not found", LOGIN_URL=reverse_lazy("login")),
]

ACCOMPANIED = {
    ("W026", "memcached"): {"W004"},
    ("W026", "keeps 300 values"): {"W004"},
    ("E020", 'include("mail_oauth.urls")'): set(),
}
"""What else is wrong with these: caches of Django's own pickle as well."""

NO_MISTAKES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without any provider": {"ours": {"PROVIDERS": {}}, "ROOT_URLCONF": "tests.checks.urls_nowhere"},
    "a slash behind the host": {"ours": {"BASE_URL": "https://your.site/"}},
    "a port": {"ours": {"BASE_URL": "https://your.site:8443"}},
    "no BASE_URL behind a proxy that Django knows of": {
        "ours": {"BASE_URL": ""},
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "USE_X_FORWARDED_HOST": True,
    },
    "a proxy that passes on another Host": {
        "ALLOWED_HOSTS": ["backend"],
        "CSRF_TRUSTED_ORIGINS": ["https://your.site"],
    },
    "the same with a wildcard": {"ALLOWED_HOSTS": ["backend"], "CSRF_TRUSTED_ORIGINS": ["https://*.site"]},
    "no host yet, which Django itself says": {"ALLOWED_HOSTS": []},
    "a cookie for all of a domain": {"SESSION_COOKIE_DOMAIN": ".your.site"},
    "a cookie for this app's pages": {"SESSION_COOKIE_PATH": "/mail/"},
    "a cookie for embedded pages": {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": True},
    "a cookie without SameSite": {"SESSION_COOKIE_SAMESITE": False},
    "sessions in signed cookies": {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"},
    "sessions in a shared cache": {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"},
    "the site's own middleware": {
        "MIDDLEWARE": [
            "tests.checks.middleware.OurSessions",
            "tests.checks.middleware.AuthenticationMiddleware",
            CSRF,
        ]
    },
    "tables in one database, read from another": {"DATABASE_ROUTERS": ["tests.routers.ReadsElsewhere"]},
    "languages, but not in the URL": {"LANGUAGES": [("de", "Deutsch"), ("en", "English")]},
    "an on-premises provider": {
        "ours": {
            "PRIVATE_HOSTS": ["sso.internal", "10.1.2.3"],
            "PROVIDERS": {"keycloak": {**OIDC, "ISSUER": "https://10.1.2.3/realms/mail"}},
        }
    },
    "each cloud of Microsoft's": {
        "ours": {
            "PROVIDERS": {
                cloud: {**MICROSOFT, "CLASS": "microsoft", "CLOUD": cloud}
                for cloud in ("global", "usgov", "china")
            }
        }
    },
    "each kind of tenant": {
        "ours": {
            "PROVIDERS": {
                f"m{number}": {**MICROSOFT, "CLASS": "microsoft", "TENANT": tenant}
                for number, tenant in enumerate(
                    ["common", "organizations", "consumers", "Contoso.com", "2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11"]
                )
            }
        }
    },
    "the other name of Exchange Online": {
        "ours": {
            "PROVIDERS": {
                "microsoft": {
                    **MICROSOFT,
                    "SCOPES": f"offline_access {OUTLOOK} https://outlook.office365.com/SMTP.Send",
                }
            }
        }
    },
    "Graph alone": {
        "ours": {"PROVIDERS": {"microsoft": {**MICROSOFT, "SCOPES": ["offline_access", "Mail.Read", "User.Read"]}}}
    },
    "Google's HTTP API alone": {
        "ours": {
            "PROVIDERS": {
                "google": {
                    **GOOGLE,
                    "SCOPES": ["openid", "email", "https://www.googleapis.com/auth/gmail.send"],
                    **dict.fromkeys(("IMAP", "POP", "SMTP")),
                }
            }
        }
    },
    "scopes with commas in one string": {"ours": {"PROVIDERS": {"plain": {**PLAIN, "SCOPES": "openid,mail"}}}},
    "secrets of which one takes the place of another": {
        "ours": {"PROVIDERS": {"google": {**GOOGLE, "CLIENT_SECRET": ["GOCSPX-abcDEF", Secret("GOCSPX-ghiJKL")]}}}
    },
    **{
        f"users who sign in at {url}": {"LOGIN_URL": url, "ROOT_URLCONF": "tests.checks.urls_of_a_login"}
        for url in (
            "admin:login",
            reverse_lazy("admin:login"),
            "/in",  # to which a slash is appended
            "/in/?by=sso",
            "/words/in/",  # to which the language is prefixed
            "/de/words/in/",
            "https://sso.your.site/login",
        )
    },
    "a list of one secret": {"ours": {"PROVIDERS": {"google": {**GOOGLE, "CLIENT_SECRET": ("GOCSPX-abcDEF",)}}}},
    "a public client": {"ours": {"PROVIDERS": {"plain": {**PLAIN, "CLIENT_SECRET": None, "CLIENT_AUTH": "none"}}}},
    "every other built-in provider": {
        "ours": {
            "PROVIDERS": {
                "yahoo": GOOGLE,
                "aol": GOOGLE,
                "fastmail": {"CLIENT_ID": "a-public-client"},
                "zoho": {**OIDC, "SCOPES": ["openid"], "AUTHORIZE_PARAMETERS": {"access_type": "offline"}},
            }
        }
    },
    "notices to all": {
        **mailed_by(SMTP),
        "ADMINS": ["ops@your.site"] if DJANGO >= (6, 0) else [("Ops", "ops@your.site")],
        "DEFAULT_FROM_EMAIL": "mail@your.site",
        "ours": {
            "NOTIFY": "all",
            "NOTIFY_MASS_USERS": False,
            "NOTIFY_ADDRESS": "tests.notifications.people.address",
        },
    },
    "a cache of files with room": {  # of which W004 says what it always says
        "CACHES": {"default": {**FILES, "OPTIONS": {"MAX_ENTRIES": 1_000_000}}},
        "SILENCED_SYSTEM_CHECKS": ["mail_oauth.W004"],
    },
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_the_one_thing_that_is_found(production, mistake):
    messages = production(**mistake.changes)
    others = ACCOMPANIED.get((mistake.number, mistake.words), set())
    assert set(numbers(messages)) == {mistake.number, *others}
    said = [
        f"{message.msg} {message.hint}" for message in messages if message.id == f"mail_oauth.{mistake.number}"
    ]
    assert any(mistake.words in text for text in said), said


@pytest.mark.parametrize("changes", NO_MISTAKES.values(), ids=NO_MISTAKES)
def test_what_is_right_is_not_complained_of(production, changes):
    assert [message for message in production(**changes) if not message.is_silenced()] == []


@pytest.mark.parametrize(
    "mistake", [each for each in MISTAKES if CATALOGUE[each.number].when.value != "check"], ids=str
)
def test_what_is_for_production_is_no_news_on_a_laptop(production, mistake):
    assert numbers(production(deploy=False, **mistake.changes)) == []


@pytest.mark.parametrize(
    ("url", "found"), [("/app/admin/login/", []), ("/app/accounts/login/", ["W030"]), ("/login/", [])]
)
def test_a_site_below_a_path_knows_of_its_own_pages_alone(production, url, found):
    with override_script_prefix("/app/"):
        assert numbers(production(deploy=False, LOGIN_URL=url)) == found


def test_a_malformed_key(production):
    messages = production(FERNET_USE_HKDF=False, FERNET_KEYS=["too short"])
    assert numbers(messages) == ["E003"]
    assert "FERNET_KEYS" in messages[0].msg


def test_a_cache_that_is_not_there(production):
    assert numbers(production(ours={"CACHE": "nowhere"}, deploy=False)) == ["E005"]


def test_oauthlibs_switch_for_plain_http(production, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    assert numbers(production()) == ["E008"]


def test_sessions_without_their_table(production):
    apps = [name for name in APPS if name != "django.contrib.sessions"]
    assert "E019" in numbers(production(INSTALLED_APPS=apps))
    engine = "django.contrib.sessions.backends.signed_cookies"
    assert "E019" not in numbers(production(INSTALLED_APPS=apps, SESSION_ENGINE=engine))


def test_requests_in_transactions_on_sqlite(production, settings, monkeypatch):
    database = settings.DATABASES["default"]
    monkeypatch.setitem(database, "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.postgresql")
    assert numbers(production()) == []
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.sqlite3")
    assert numbers(production()) == ["W021"]


def test_no_message_shows_a_secret(production):
    """Not even one that is wrong: it may be the right one with a blank behind it."""
    single = "kX9~very-secret ", '"kX9~very-secret"', {"kX9~very-secret"}
    listed = (
        ["kX9~very-secret"] * 2,
        ["kX9~very-secret ", "kX9~other"],
        ["kX9~very-secret", ""],
        [b"kX9~very-secret"],
    )
    for secret in (*single, *listed):
        messages = production(ours={"PROVIDERS": {"google": {**GOOGLE, "CLIENT_SECRET": secret}}})
        assert messages
        assert "very-secret" not in str(messages)


def test_notices_without_links(production):
    assert "E040" in numbers(production(**mailed_by(SMTP), ours={"NOTIFY": "users", "BASE_URL": ""}))


class TestTheCeleryApp:
    def test_that_sends_no_notices(self, production, celery_app):
        del celery_app.conf.beat_schedule["mail_oauth.send_notices"]
        assert numbers(production()) == [], "none are wanted"
        on = {"NOTIFY": "users", "NOTIFY_FROM": "mail@your.site"}
        assert numbers(production(**mailed_by(SMTP), ours=on)) == ["W043"]

    def test_without_this_apps_schedule(self, production, celery_app):
        celery_app.conf.beat_schedule = {}
        messages = production()
        assert numbers(messages) == ["W022"]
        assert "mail_oauth_beat_schedule()" in messages[0].hint

    def test_whose_schedule_lies_elsewhere(self, production, celery_app):
        celery_app.conf.beat_schedule = {}
        celery_app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
        assert numbers(production()) == []

    def test_is_not_needed(self, production, no_celery_app):
        assert numbers(production()) == []

    @pytest.mark.parametrize("name", ["pickle", "application/x-python-serialize"])
    def test_that_unpickles(self, production, celery_app, name):
        celery_app.conf.accept_content = ["json", name]
        assert numbers(production()) == ["W024"]

    def test_that_pickles_what_nobody_accepts(self, production, celery_app):
        celery_app.conf.task_serializer = "pickle"
        assert numbers(production()) == ["W024"]

    def test_that_kills_sweeps(self, production, celery_app):
        celery_app.conf.task_time_limit = 110
        messages = production()
        assert numbers(messages) == ["W025"]
        assert "CELERY_TASK_TIME_LIMIT = 170" in messages[0].hint
        celery_app.conf.task_time_limit = 170
        assert numbers(production()) == []

    def test_is_the_sites_own_and_not_celerys_fallback(self, production, no_celery_app):
        Celery("default", set_as_current=False)
        assert numbers(production()) == []


def test_no_check_asks_a_network(production, monkeypatch):
    """Nor a database: this test has none. An OpenID Connect provider is among those that are checked."""

    def refuse(*args: Any) -> None:
        raise AssertionError("a check wants to connect")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert production() == []
