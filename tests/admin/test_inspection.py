"""The inspection page says everything about a mailbox but its secrets, and calls nobody to find out."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.encryption import fingerprint_of, keyring
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from tests.admin.conftest import CHANGELIST, page_of

pytestmark = pytest.mark.django_db


def text_of(browser, mailbox) -> str:
    response = browser.get(page_of(mailbox))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def overwrite(mailbox, column: str, value: bytes) -> None:
    """Write to a token's column behind the model's back."""
    key = MailCredentials._meta.pk.get_db_prep_value(mailbox.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE mail_oauth_mailcredentials SET {column}=%s WHERE id=%s", [value, key])


def test_the_page_names_tokens_by_length_fingerprint_and_key(root, connect):
    mailbox = connect()
    text = text_of(root, mailbox)
    key = keyring().keys[0].fingerprint
    for secret in (mailbox.open_access_token(), mailbox.open_refresh_token()):
        assert f"{len(secret)} characters" in text
        assert fingerprint_of(secret) in text
    assert text.count(key) == 2
    assert "the key that seals now" in text


def test_scopes_asked_for_and_granted_stand_side_by_side(root, connect):
    mailbox = connect("google", requested_scopes="https://mail.google.com/ openid", granted_scopes="openid extra")
    lines = {line.scope: line.words for line in root.get(page_of(mailbox)).context["inspection"].scopes}
    assert lines == {
        "https://mail.google.com/": "not granted",
        "openid": "granted",
        "extra": "granted unasked",
        "email": "not named",
    }


def test_a_scope_that_the_settings_want_by_now_is_marked(root, connect, settings):
    mailbox = connect("keycloak")
    wanted = {**settings.MAIL_OAUTH["PROVIDERS"]["keycloak"], "SCOPES": ["openid", "mail", "calendar"]}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"keycloak": wanted}}
    lines = {line.scope: line for line in root.get(page_of(mailbox)).context["inspection"].scopes}
    assert (lines["calendar"].required, lines["calendar"].words) == (True, "not asked for yet")
    assert (lines["offline_access"].required, lines["offline_access"].requested) == (False, True)


def test_the_page_costs_the_same_however_long_the_history(root, connect):
    mailbox = connect()
    root.get(page_of(mailbox))
    with CaptureQueriesContext(connection) as few:
        root.get(page_of(mailbox))
    CredentialEvent.objects.bulk_create(
        CredentialEvent(credentials=mailbox, kind=EventKind.REFRESHED, generation=number, actor=mailbox.user)
        for number in range(70)
    )
    with CaptureQueriesContext(connection) as many:
        response = root.get(page_of(mailbox))
    assert len(many) == len(few) == 5  # session, person, mailbox with its user, holds, history
    shown = [event.generation for event in response.context["inspection"].events]
    assert len(shown) == 50
    assert shown[0] == 69


@pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak", "plain"])
def test_no_provider_is_called_while_the_page_loads(root, connect, provider, alias):
    mailbox = connect(alias, seconds_left=-10)
    before = len(provider.calls)
    text_of(root, mailbox)
    assert len(provider.calls) == before


def test_an_alias_that_left_the_settings_is_named_with_a_hint(root, connect, settings):
    mailbox = connect("google")
    settings.MAIL_OAUTH = {"PROVIDERS": {}}
    text = text_of(root, mailbox)
    assert "MAIL_OAUTH[&quot;PROVIDERS&quot;] has no &#x27;google&#x27;" in text
    assert "must mend the settings" in text


def test_a_missing_key_is_named_and_nothing_breaks(root, connect, settings):
    mailbox = connect()
    key = keyring().keys[0].fingerprint
    settings.FERNET_KEYS = ["another key"]
    text = text_of(root, mailbox)
    assert "The stored tokens cannot be decrypted" in text
    assert "Its key is not in FERNET_KEYS: put it back" in text
    assert text.count(key) == 2


def test_an_older_key_is_named_by_its_place(root, connect, settings):
    mailbox = connect()
    settings.FERNET_KEYS = ["a newer key", *settings.FERNET_KEYS]
    assert "an older key, number 2 in FERNET_KEYS" in text_of(root, mailbox)


def test_a_malformed_keyring_breaks_neither_page(root, connect, settings):
    mailbox = connect()
    settings.FERNET_USE_HKDF = False
    assert "FERNET_KEYS holds a value that is not a key" in text_of(root, mailbox)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\x00garbage",
        b"ya29.a-plain-token",
        b"mo1:<b>:x",
        b"mo1:ya29.a-plain-token:x",
        b"mo1:0123456789abcdef:%%%",
    ],
)
def test_garbage_in_a_column_is_called_unreadable(root, connect, garbage):
    mailbox = connect()
    overwrite(mailbox, "refresh_token", garbage)
    text = text_of(root, mailbox)
    assert "unreadable" in text
    assert "ya29" not in text
    assert "<b>" not in text


def test_a_token_moved_from_another_row_is_called_unreadable(root, connect):
    mine, other = connect(), connect()
    overwrite(mine, "refresh_token", other.refresh_token.text.encode())
    assert "sealed for another row or column" in text_of(root, mine)


def verdict(browser, mailbox) -> str:
    return str(browser.get(page_of(mailbox)).context["inspection"].cache.finding.word)


def test_the_cache_is_compared_with_the_database(root, connect, any_cache):
    mailbox = connect()
    assert verdict(root, mailbox) == "absent"
    mailbox.get_access_token()
    assert verdict(root, mailbox) == "in step"
    rows = MailCredentials.objects.filter(pk=mailbox.pk)
    rows.update(generation=5)
    assert verdict(root, mailbox) == "older"
    rows.update(generation=0)
    assert verdict(root, mailbox) == "newer"
    rows.update(generation=1, token_expiry=timezone.now() + timedelta(hours=5))
    assert verdict(root, mailbox) == "another token"
    token_cache.bury(mailbox.pk, 2)
    assert verdict(root, mailbox) == "tombstone over a working mailbox"
    rows.update(status=Status.DISCONNECTED)
    assert verdict(root, mailbox) == "in step"


def test_a_cache_that_is_away_is_said_so(root, connect, redis_cache):
    mailbox = connect()
    redis_cache.kill()
    assert verdict(root, mailbox) == "cache not reachable"


def test_looking_changes_nothing(root, connect, locmem_cache):
    mailbox = connect(seconds_left=-10)
    before = MailCredentials.objects.filter(pk=mailbox.pk).values().get()
    text_of(root, mailbox)
    assert MailCredentials.objects.filter(pk=mailbox.pk).values().get() == before
    assert token_cache.headers([mailbox.pk]) == {mailbox.pk: None}


def test_the_page_has_no_form_to_edit_by(root, connect):
    mailbox = connect()
    assert root.post(page_of(mailbox), {"email": "forged@example.com"}).status_code == 403
    mailbox.refresh_from_db()
    assert mailbox.email != "forged@example.com"


def test_nothing_on_the_pages_needs_a_lax_content_security_policy(root, connect):
    mailbox = connect()
    question = root.post(page_of(mailbox, "operation/disconnect/"))
    for response in (root.get(page_of(mailbox)), root.get(CHANGELIST), question):
        inline = r"""\sstyle=|<style|\son[a-z]+=["']|<script(?![^>]*\ssrc=)|javascript:"""
        assert not re.search(inline, response.content.decode())


def test_an_unknown_mailbox_is_not_found(root, connect):
    assert root.get("/admin/mail_oauth/mailcredentials/not-a-uuid/change/").status_code == 404


def test_the_user_is_linked_for_those_who_may_see_users(root, connect, staff, signed_in):
    mailbox = connect()
    link = f"/admin/auth/user/{mailbox.user.pk}/change/"
    assert link in text_of(root, mailbox)
    assert link not in text_of(signed_in(staff("view")), mailbox)
