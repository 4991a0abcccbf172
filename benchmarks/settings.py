"""Settings of the benchmarks: those of the tests, with what `benchmarks.servers` put into the environment."""

import os

from tests.settings import *  # noqa: F403

MAIL_OAUTH = {
    "PRIVATE_HOSTS": ["127.0.0.1"],
    "CA_BUNDLE": os.environ.get("BENCH_CA_BUNDLE", ""),
    "PROVIDERS": {
        "microsoft": {
            "CLIENT_ID": "bench",
            "CLIENT_SECRET": "bench-secret",
            "TOKEN_URL": os.environ.get("BENCH_TOKEN_URL", "https://127.0.0.1/100/token"),
        },
    },
}
