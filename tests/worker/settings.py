"""Settings of a worker's processes: those of the suite, on the parts that the environment names.

BROKER_URL      Redis, or filesystem:// in BROKER_FOLDER, which keeps every message it ever carried
MAIL_OAUTH      this app's settings, as JSON
CACHE_FOLDER    the cache's directory; without it the cache is the suite's own (REDIS_URL)
FERNET_KEYS     the keys, as JSON; without it they are the suite's own
"""

import json
import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import CACHES
from tests.settings import FERNET_KEYS as KEYS_OF_THE_SUITE

MAIL_OAUTH = json.loads(os.environ["MAIL_OAUTH"])
FERNET_KEYS = json.loads(os.environ.get("FERNET_KEYS") or json.dumps(KEYS_OF_THE_SUITE))
CELERY_BROKER_URL = os.environ["BROKER_URL"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

if folder := os.environ.get("BROKER_FOLDER"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(Path(folder, "queue")),
        "data_folder_out": str(Path(folder, "queue")),
        "control_folder": str(Path(folder, "control")),
        "processed_folder": str(Path(folder, "processed")),
        "store_processed": True,
    }
if folder := os.environ.get("CACHE_FOLDER"):
    CACHES["default"] = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": folder}
