"""Settings of the test suite, wholly determined by the environment, so that child processes can share them.

DATABASE_URL   the database; SQLite in memory unless set. `python -m tests.services` sets it for one command.
REDIS_URL      the default cache is this Redis, through django-redis; without it, this process's own memory.
"""

import os
from typing import Any

import dj_database_url
import django

SECRET_KEY = "a key of the tests that stands nowhere else"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "mail_oauth",
    "mail_oauth.testing",
    "tests.canary",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
AUTH_USER_MODEL = "auth.User"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
LOGIN_URL = "/admin/login/"


def database(url: str) -> dict[str, Any]:
    """The settings of the database that `url` names; the test database lies in the same place."""
    config: dict[str, Any] = dict(dj_database_url.parse(url))
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"].endswith("sqlite3") and config["NAME"] != ":memory:":
        # What we advise for production. Threads and processes each get a connection of their own to this file;
        # in memory they would share one lock table, which answers "locked" at once, whatever the timeout.
        options |= {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL", "timeout": 20}
        config["TEST"] = {"NAME": config["NAME"]}
    elif config["ENGINE"].endswith("mysql"):
        options |= {"charset": "utf8mb4", "init_command": "SET sql_mode='STRICT_TRANS_TABLES'"}
        config["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"}
    return config


DATABASES = {"default": database(os.environ.get("DATABASE_URL", "sqlite://:memory:"))}


def redis_cache(url: str) -> dict[str, Any]:
    """The settings of a django-redis cache at `url`. It gives up after two seconds: tests stop and stall Redis."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2},
    }


CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Named here so that the test database gets its table; the fixture `any_cache` makes it the default.
    "db": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "test_cache"},
}
if os.environ.get("REDIS_URL"):
    CACHES["default"] = redis_cache(os.environ["REDIS_URL"])

FERNET_KEYS = ["test-key-for-mail-oauth-only"]
MAIL_OAUTH: dict[str, Any] = {"PROVIDERS": {}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
