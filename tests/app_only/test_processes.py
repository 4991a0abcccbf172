"""Processes that share nothing but the database ask once for the token that opens all their mailboxes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import connection

from mail_oauth.models import MailCredentials

PROGRAM = """
import hashlib, sys
import django
django.setup()
from mail_oauth.models import MailCredentials
mailboxes = list(MailCredentials.objects.filter(access="shared"))
print("ready", flush=True)
sys.stdin.readline()
tokens = {each.get_access_token().reveal() for each in mailboxes}
print(*(hashlib.sha256(each.encode()).hexdigest() for each in tokens))
"""


def started() -> subprocess.Popen[str]:
    database = os.environ["DATABASE_URL"]
    if connection.vendor != "sqlite":
        database = urlsplit(database)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
        "DATABASE_URL": database,
        "BROKER_URL": "memory://",
        "MAIL_OAUTH": json.dumps(django_settings.MAIL_OAUTH),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_one_call_serves_them_all(separate_connections, add, provider, asked):
    add("work", *(f"user{number}@contoso.example" for number in range(5)))
    running = [started() for _ in range(4)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(said) == 1
    assert asked() == [None]
    assert MailCredentials.objects.filter(access="app").count() == 1
