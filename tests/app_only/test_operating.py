"""What staff may do to the app's own access, and what they learn of it: it is no mailbox, and every mailbox hangs on it."""

from __future__ import annotations

import pytest

from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import NOT_OFFERED
from tests.admin.test_operations import press, said


@pytest.fixture
def many(add):
    return add("work", *(f"user{number}@contoso.example" for number in range(5)))


def holder() -> MailCredentials:
    return MailCredentials.objects.get(access=Access.APP)


class TestOperations:
    def test_no_sign_in_is_tested_where_there_is_no_mailbox(self, many, root):
        (message,) = said(press(root, holder(), "test_sign_in"))
        assert str(NOT_OFFERED) in message
