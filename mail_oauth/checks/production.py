"""The part of the catalogue that is asked of a site in production, and of its database."""

from __future__ import annotations

DEPLOYED = {
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
    "E038": (
        "`CA_BUNDLE`, or the environment's `REQUESTS_CA_BUNDLE`, cannot be read, or holds no certificate",
        'MAIL_OAUTH["CA_BUNDLE"] = "/etc/ssl/certs/company.pem", a file of PEM certificates or a folder of them',
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

OF_VALUES = {
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

OF_DATABASE = {
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
