"""Settings of the example project. `make demo` runs it; with REDIS_URL and DATABASE_URL on real servers.

What a site needs for mail_oauth stands under "mail_oauth" below; the rest is any Django project.
"""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django import VERSION

from mail_oauth.tokens import MailServer

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DEMO_DIR", BASE_DIR / ".demo"))
REDIS_URL = os.environ.get("REDIS_URL", "")
SITE_URL = os.environ.get("DEMO_SITE_URL", "http://127.0.0.1:8000")
PROVIDER_URL = os.environ.get("DEMO_PROVIDER_URL", "http://127.0.0.1:9000")
MAIL_CA = DATA_DIR / "mail-authority.pem"

# The demo's provider speaks plain http on this machine. oauthlib wants to be told so; a real site never does.
os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")

SECRET_KEY = "a demo has no secrets"  # noqa: S105  # a demo's key is in the open
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "example_project.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "example_project",
    "mail_oauth",
    "mail_oauth.testing",  # the provider and the mail servers of the demo; a real site leaves it out
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES: dict[str, Any] = {
    "default": dict(dj_database_url.config(default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}"))
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Several processes write to it: readers do not wait for writers, and a writer queues before it reads.
    DATABASES["default"]["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }

CACHES: dict[str, Any] = {
    "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": DATA_DIR / "cache"}
}

# --- Celery: on Redis, or on a folder, which needs no server ------------------------------------------------

CELERY_BROKER_URL = REDIS_URL or "filesystem://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if not REDIS_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(DATA_DIR / "broker"),
        "data_folder_out": str(DATA_DIR / "broker"),
        "control_folder": str(DATA_DIR / "control"),
    }

# --- the site's own mail: shown in the terminal ---------------------------------------------------------------

_CONSOLE = "django.core.mail.backends.console.EmailBackend"
if VERSION < (6, 1):
    EMAIL_BACKEND = _CONSOLE
else:
    MAILERS = {"default": {"BACKEND": _CONSOLE}}

# --- mail_oauth ---------------------------------------------------------------------------------------------

FERNET_KEYS = [os.environ.get("MAIL_OAUTH_KEY", "a demo has no secrets here either")]

_DEMO = {
    "CLIENT_ID": "fake-provider-client",
    "CLIENT_SECRET": "fake-provider-secret-for-tests-and-demos",
    # The mail of a real provider is where it always is: a real site has no such lines.
    "IMAP": MailServer(host="127.0.0.1", port=int(os.environ.get("DEMO_IMAP_PORT", "9993"))),
    "SMTP": MailServer(host="127.0.0.1", port=int(os.environ.get("DEMO_SMTP_PORT", "9465"))),
}
MAIL_OAUTH: dict[str, Any] = {
    "BASE_URL": SITE_URL,
    "PRIVATE_HOSTS": ["127.0.0.1"],  # the fake provider and its mail; a real site has no such line
    "CA_BUNDLE": str(MAIL_CA) if MAIL_CA.exists() else "",  # nor this one: whose word the mail servers have
    "PROVIDERS": {
        "microsoft": {**_DEMO, "AUTHORITY": f"{PROVIDER_URL}/microsoft"},
        "google": {
            **_DEMO,
            "AUTHORIZE_URL": f"{PROVIDER_URL}/google/o/oauth2/v2/auth",
            "TOKEN_URL": f"{PROVIDER_URL}/google/token",
            "REVOKE_URL": f"{PROVIDER_URL}/google/revoke",
            "USERINFO_URL": f"{PROVIDER_URL}/google/userinfo",
            "JWKS_URL": f"{PROVIDER_URL}/google/certs",
            "ISSUER": f"{PROVIDER_URL}/google",
        },
        "keycloak": {
            **_DEMO,
            "CLASS": "oidc",
            "NAME": "Company (OIDC)",
            "ISSUER": f"{PROVIDER_URL}/oidc",
            "SCOPES": ["openid", "email", "offline_access", "mail"],
        },
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    # Once: a Celery worker has a handler of its own at the root.
    "loggers": {"mail_oauth": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
