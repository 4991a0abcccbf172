"""No page, message or log entry of the admin holds a token, in any spelling."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages

from mail_oauth.models import MailCredentials
from mail_oauth.operations.catalogue import OPERATIONS
from tests.admin.conftest import CHANGELIST, EVENTS, page_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_mail_servers")]


def spellings(mailbox) -> list[str]:
    """Every way in which a mailbox's tokens might be written, and pieces of them."""
    found = []
    for sealed, secret in (
        (mailbox.access_token, mailbox.open_access_token()),
        (mailbox.refresh_token, mailbox.open_refresh_token()),
    ):
        plain = secret.reveal()
        encoded = base64.b64encode(plain.encode()).decode()
        cipher = sealed.text.rpartition(":")[2]
        found += [plain, plain[-12:], plain[:12], quote(plain), encoded, encoded[:24], encoded.replace("=", "")]
        found += [base64.urlsafe_b64encode(plain.encode()).decode(), cipher, cipher[20:60], plain.encode().hex()]
    return found


def addresses(mailbox) -> list[str]:
    event = mailbox.events.first()
    return [
        CHANGELIST,
        f"{CHANGELIST}?q={mailbox.pk}",
        page_of(mailbox),
        page_of(mailbox, "history/"),
        page_of(mailbox, "delete/"),
        EVENTS,
        f"{EVENTS}{event.pk}/change/",
        "/admin/",
        "/admin/mail_oauth/dashboard/",
        f"/admin/auth/user/{mailbox.user.pk}/delete/",
    ]


def test_the_check_can_fail(connect):
    mailbox = connect()
    assert any(each in mailbox.open_access_token().reveal() for each in spellings(mailbox))
    assert any(each in mailbox.refresh_token.text for each in spellings(mailbox))


def test_no_token_stands_on_any_page(root, connect):
    mailbox = connect("google")
    mailbox.refresh_now()
    secrets = spellings(mailbox) + spellings(MailCredentials.objects.get())
    pages = []
    for name in OPERATIONS:
        response = root.post(page_of(mailbox, f"operation/{name}/"), follow=True)
        pages.append(response.content.decode())
        pages += [str(message) for message in get_messages(response.wsgi_request)]
        secrets += spellings(MailCredentials.objects.get())
    for address in addresses(mailbox):
        response = root.get(address)
        assert response.status_code == 200, address
        pages.append(response.content.decode())
    pages += [f"{entry.change_message} {entry.object_repr}" for entry in LogEntry.objects.all()]
    asked = sum(operation.confirmed for operation in OPERATIONS.values())  # and nothing was done
    assert LogEntry.objects.count() == len(OPERATIONS) - asked
    for secret in secrets:
        assert not [page for page in pages if secret in page], secret
