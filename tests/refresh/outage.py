"""A web process of a test whose database ends at the worst moment; `MAIL_OAUTH` is its configuration, as JSON.

python -m tests.refresh.outage make ALIAS EMAIL REFRESH_TOKEN    prints the new mailbox's key
python -m tests.refresh.outage ask KEY                           prints a token, or the error's name
"""

import json
import os
import sys
from datetime import timedelta

import django
from django.conf import settings

django.setup()
settings.MAIL_OAUTH = json.loads(os.environ["MAIL_OAUTH"])

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import Error  # noqa: E402
from django.utils import timezone  # noqa: E402

from mail_oauth.models import MailCredentials  # noqa: E402
from mail_oauth.tokens import Secret  # noqa: E402


def make(alias: str, email: str, refresh_token: str) -> str:
    call_command("migrate", verbosity=0)
    row = MailCredentials(user=User.objects.create(username="ada"), provider=alias, email=email)
    row.refresh_token = row.sealed("refresh_token", Secret(refresh_token))
    row.refresh_at = timezone.now()
    row.save()
    return str(row.pk)


def ask(key: str) -> str:
    row = MailCredentials.objects.get(pk=key)
    # Whoever failed to save holds a lease still: let it have ended.
    MailCredentials.objects.exclude(lease_owner="").update(refresh_at=timezone.now() - timedelta(days=1))
    try:
        return row.get_access_token().reveal()
    except Error as error:
        return type(error).__name__


if __name__ == "__main__":
    print({"make": make, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
