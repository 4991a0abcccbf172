"""Settings of the benchmarks: those of the tests, with what `benchmarks.servers` put into the environment."""

import json
import os
from importlib.util import find_spec

from benchmarks.peers import INSTALLED_APPS as PEER_APPS
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE
from tests.settings import FERNET_KEYS as KEYS_OF_THE_SUITE

FERNET_KEYS = json.loads(os.environ.get("BENCH_FERNET_KEYS") or json.dumps(KEYS_OF_THE_SUITE))
TOKEN_URL = os.environ.get("BENCH_TOKEN_URL", "https://127.0.0.1/0/token")

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "benchmarks.peers",
    *(app for module, apps in PEER_APPS.items() if find_spec(module) for app in apps),
]

# A second, small table to compare with: another database of the same server.
DATABASES = {**DATABASES, "small": {**DATABASES["default"], "NAME": "small"}}

MAIL_OAUTH = {
    "PRIVATE_HOSTS": ["127.0.0.1"],
    "CA_BUNDLE": os.environ.get("BENCH_CA_BUNDLE", ""),
    "PROVIDERS": {
        "microsoft": {"CLIENT_ID": "bench", "CLIENT_SECRET": "bench-secret", "TOKEN_URL": TOKEN_URL},
    },
}

SOCIAL_AUTH_BENCH_MICROSOFT_KEY = "bench"
SOCIAL_AUTH_BENCH_MICROSOFT_SECRET = "bench-secret"  # noqa: S105
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
if find_spec("social_django"):
    AUTHENTICATION_BACKENDS.append("benchmarks.peers.social.LocalMicrosoft")
if find_spec("allauth"):
    MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
SOCIALACCOUNT_STORE_TOKENS = True
