"""Settings of the benchmarks: those of the tests, with tokens from one fake provider."""

import os

from tests.settings import *  # noqa: F403

os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")
LOGGING = {"version": 1, "disable_existing_loggers": True}
