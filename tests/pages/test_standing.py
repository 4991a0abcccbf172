"""Each state of a mailbox is told in plain words, with what to do next and by whom."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from mail_oauth.exceptions import Altered, KeyMissing
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.wording.access import access_in_words
from mail_oauth.wording.brands import branded_hint
from mail_oauth.wording.standing import Actor, Level, standing

NOW = timezone.now()
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
GRANT_END = {"grant_warned_at": EARLIER, "refresh_token_expires_at": datetime(2100, 5, 4, 12, tzinfo=NOW.tzinfo)}

STATES = {
    "it works": ({}, Level.GOOD, Actor.NOBODY, "Works"),
    "it fails for the moment, and its token lives on": (
        {"refresh_failures": 3},
        Level.GOOD,
        Actor.NOBODY,
        "Works",
    ),
    "it fails, and its token is over": (
        {"refresh_failures": 3, "token_expiry": EARLIER},
        Level.WAIT,
        Actor.NOBODY,
        "Does not work at the moment",
    ),
    "part of the access is missing": (
        {"status_reason": "scope_missing"},
        Level.WAIT,
        Actor.USER,
        "Works in part",
    ),
    "its grant ends soon": (GRANT_END, Level.WAIT, Actor.USER, "Works until May 4, 2100"),
    "it needs its user": ({"status": Status.NEEDS_REAUTH}, Level.BAD, Actor.USER, "Needs you"),
    "it needs an administrator": (
        {"status": Status.NEEDS_ADMIN, "status_reason": "AADSTS53003"},
        Level.BAD,
        Actor.ADMINISTRATOR,
        "Needs your administrator",
    ),
    "nobody knows": ({"status": Status.NEEDS_ATTENTION}, Level.BAD, Actor.OPERATORS, "Does not work"),
    "its key is missing": (
        {"status": Status.UNREADABLE, "status_reason": KeyMissing.code},
        Level.BAD,
        Actor.OPERATORS,
        "Does not work",
    ),
    "its tokens were altered": (
        {"status": Status.UNREADABLE, "status_reason": Altered.code},
        Level.BAD,
        Actor.USER,
        "Needs you",
    ),
    "it is paused": ({"use_oauth": False}, Level.OFF, Actor.OPERATORS, "Switched off"),
    "it is disconnected": ({"status": Status.DISCONNECTED}, Level.OFF, Actor.NOBODY, "Disconnected"),
    "its provider is gone": ({"provider": "elsewhere"}, Level.BAD, Actor.OPERATORS, "Does not work"),
}


def mailbox(**columns) -> MailCredentials:
    return MailCredentials(**{"provider": "microsoft", "email": "a@example.com", "token_expiry": LATER, **columns})


@pytest.mark.parametrize(("columns", "level", "actor", "headline"), STATES.values(), ids=STATES)
def test_a_state(provider, columns, level, actor, headline):
    told = standing(mailbox(**columns), NOW)
    assert (told.level, told.actor, told.headline) == (level, actor, headline)
    assert bool(told.advice) is (level is not Level.GOOD), "what to do is said wherever there is anything to say"


def test_every_status_is_one_of_them(provider):
    for status in Status:
        assert standing(mailbox(status=status), NOW).headline


def test_a_code_is_told_to_whom_an_administrator_must_help(provider):
    told = standing(mailbox(status=Status.NEEDS_ADMIN, status_reason="AADSTS53003"), NOW)
    assert told.code == "AADSTS53003"
    assert standing(mailbox(status=Status.NEEDS_REAUTH, status_reason="AADSTS50173"), NOW).code == ""


ALLOWED = {
    "Microsoft": (
        "openid profile offline_access https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send",
        [
            "Read, sort and delete your mail",
            "Send mail in your name",
            "See your name and address",
            "Keep this access while you are away, until it is withdrawn",
        ],
    ),
    "Google": (
        "https://mail.google.com/ https://www.googleapis.com/auth/userinfo.email openid",
        ["Read, write, send and delete your mail", "See your name and address"],
    ),
    "Fastmail": (
        "https://www.fastmail.com/dev/protocol-imap https://www.fastmail.com/dev/protocol-smtp",
        ["Read, sort and delete your mail", "Send mail in your name"],
    ),
    "Yahoo": ("openid mail-w", ["Read, write, send and delete your mail", "See your name and address"]),
    "Graph": ("Mail.Send User.Read", ["Send mail in your name", "See your name and address"]),
    "nobody knows": ("x:whatever", ["x:whatever"]),
    "not said": ("", []),
}


@pytest.mark.parametrize(("scopes", "words"), ALLOWED.values(), ids=ALLOWED)
def test_access_in_words(scopes, words):
    assert [str(each.words) for each in access_in_words(scopes.split())] == words


@pytest.mark.parametrize("alias", ["microsoft", "google", "yahoo", "aol", "fastmail"])
def test_whatever_a_built_in_provider_asks_for_has_words(settings, alias):
    settings.MAIL_OAUTH = {"PROVIDERS": {alias: {"CLIENT_ID": "x", "CLIENT_SECRET": "x"}}}
    assert all(each.known for each in access_in_words(provider_for(alias).requested_scopes))


def test_where_access_is_withdrawn(settings):
    one = {"CLIENT_ID": "x", "CLIENT_SECRET": "x"}
    own = {**one, "CLASS": "microsoft", "ACCOUNT_URL": "https://intra.example/apps"}
    settings.MAIL_OAUTH = {"PROVIDERS": {"microsoft": one, "google": one, "contoso": own}}
    personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
    pages = {
        ("google", ""): "https://myaccount.google.com/connections",
        ("microsoft", "a-tenant"): "https://myapps.microsoft.com/",
        ("microsoft", personal): "https://account.microsoft.com/privacy/app-access",
        ("contoso", personal): "https://intra.example/apps",
        ("elsewhere", ""): "",
    }
    for (alias, tenant), page in pages.items():
        assert mailbox(provider=alias, tenant=tenant).account_page == page


@pytest.mark.parametrize(
    ("tenant", "hint"),
    [
        ("common", "With a work, school or personal account"),
        ("consumers", "With your personal Microsoft account"),
        ("contoso.com", "With your work or school account"),
    ],
)
def test_which_accounts_a_button_of_microsofts_means(settings, tenant, hint):
    settings.MAIL_OAUTH = {"PROVIDERS": {"microsoft": {"CLIENT_ID": "x", "CLIENT_SECRET": "x", "TENANT": tenant}}}
    assert str(branded_hint(provider_for("microsoft"))) == hint
