"""Addresses that a user types, or a provider names, end no frame, header, column or page."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.urls import reverse

from mail_oauth.models import MailCredentials

pytestmark = pytest.mark.django_db

HTML = '"<script>alert(1)</script>"@example.com'


NO_ADDRESSES = (
    "x" * 243 + "@example.com",  # 255, which Django's validator lets pass and the column does not
    "x" * 300 + "@example.com",
    "a@" + "b." * 125 + "example.com",
    '"a\x01auth=Bearer evil\x01\x01"@example.com',  # quoted controls, which Django's validator lets pass
    '"a\x7fb"@example.com',
    '"a\x0bb"@example.com',
    "ada@example.com\r\nBcc: eve@example.com",
    "ada@example.com\nX",
    "a\x00@example.com",
    "ada@example.com,eve@example.com",
    "ada@example.com eve@example.com",
    "ada@exam\u202eple.com",
    "ada\u200b@example.com",
    "\u202eada@example.com",
    "a\u2028b@example.com",
    "Ada <ada@example.com>",
    "@example.com",
    "ada@",
    "ada@@example.com",
)


@pytest.mark.parametrize(
    ("alias", "address"),
    [("microsoft", NO_ADDRESSES[0])] + [("plain", address) for address in NO_ADDRESSES],
    ids=repr,
)
def test_what_is_no_address_is_asked_for_again(surfer, alias, address):
    reply = surfer.client.post(reverse("mail_oauth:start", args=[alias]), {"email": address})
    assert reply.status_code == 400
    assert b"not an e-mail address" in reply.content


@pytest.mark.parametrize(
    "address",
    [
        "x" * 242 + "@example.com",
        "j\u00f6rg@example.com",
        "ada+tag=x@example.com",
        '"a, b"@example.com',
        "o'neil@example.com",
        "ada@xn--mnchen-3ya.example",
        "ada@m\u00fcnchen.example",
    ],
)
def test_what_is_odd_but_an_address_goes_through(surfer, address):
    surfer.connect("plain", "ada@example.com", email=f"  {address}\n")
    assert MailCredentials.objects.get().email == address


def test_an_address_is_no_html(surfer, admin_client, caplog):
    surfer.connect("plain", "ada@example.com", email=HTML)
    row = MailCredentials.objects.get()
    assert row.email == HTML
    mine = [
        reverse("mail_oauth:mailboxes"),
        reverse("mail_oauth:disconnect", args=[row.pk]),
        reverse("mail_oauth:refused", args=["plain", "wrong_account"]) + f"?mailbox={row.pk}",
    ]
    pages = [surfer.client.get(url).content for url in mine]
    pages.append(surfer.client.post(reverse("mail_oauth:start", args=["plain"]), {"email": HTML + "\x01"}).content)
    for name in ("changelist", "change"):
        args = [row.pk] if name == "change" else []
        pages.append(admin_client.get(reverse(f"admin:mail_oauth_mailcredentials_{name}", args=args)).content)
    pages.append(surfer.client.post(mine[1], follow=True).content)
    for page in pages:
        assert b"<script>alert" not in page
        assert b"alert(1)" in page or b"mail-oauth" in page  # it is shown, escaped


def test_a_typed_address_is_nobodys_proof(surfer):
    surfer.connect("google", "ada@example.com", email="ceo@example.com")
    row = MailCredentials.objects.get()
    assert (row.email, row.email_verified, row.sign_in_address) == ("ceo@example.com", False, "ada@example.com")


def test_the_case_of_an_address_makes_no_second_mailbox(surfer):
    surfer.connect("plain", "ada@example.com", email="box@example.com")
    surfer.connect("plain", "ada@example.com", email="Box@Example.com")
    assert MailCredentials.objects.count() == 1


def test_the_case_of_an_address_is_no_other_mailbox_when_reconnecting(surfer):
    surfer.connect("plain", "ada@example.com", email="box@example.com")
    row = MailCredentials.objects.get()
    reply = surfer.connect("plain", "ada@example.com", email="BOX@example.com", mailbox=str(row.pk))
    assert "refused" not in reply["Location"]


def test_the_log_of_a_connection_holds_no_text_of_others(surfer, caplog):
    caplog.set_level("DEBUG")
    surfer.connect("plain", "ada@example.com", email='"x, FORGED"@example.com')
    assert "FORGED" not in caplog.text
    call_command("check")
