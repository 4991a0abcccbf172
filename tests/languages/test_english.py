"""What others read than who acted is English, whatever language that person has."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.utils.translation import gettext_lazy, override

from mail_oauth.exceptions import MailServerError
from mail_oauth.operations.contract import Result
from mail_oauth.operations.jobs import log_operation
from mail_oauth.operations.tokens import REFRESH


@pytest.mark.django_db
def test_the_log_of_the_admin(connect, user):
    with override("de"):
        log_operation(user, REFRESH, connect("microsoft"), Result(True, gettext_lazy("OAuth is switched on")))
        assert str(REFRESH.label) != "Refresh now"
    assert LogEntry.objects.get().change_message == "Refresh now: OAuth is switched on."


def test_the_text_of_an_error_but_not_its_words_for_pages():
    with override("de"):
        error = MailServerError(
            gettext_lazy("Disconnect"), reason="refused", protocol="IMAP", host="mail.example.com"
        )
        assert str(error) == "Disconnect"
        assert str(error.words) != "Disconnect"
