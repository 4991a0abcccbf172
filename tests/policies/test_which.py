"""A mailbox's own policy counts before its provider's, and that before the site's; in Python and in SQL."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from mail_oauth.choices import Policy
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.keeping import is_warm, policy_of, warm
from mail_oauth.managers.vocabulary import RefreshPolicy
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for

DAY = timedelta(days=1)


def test_policies_have_one_list():
    assert [choice.value for choice in RefreshPolicy] == [policy.value for policy in Policy]


@pytest.mark.parametrize(
    ("own", "option", "setting", "which"),
    [
        ("", None, "on_demand", "on_demand"),
        ("", "recently_used", "on_demand", "recently_used"),
        ("always", "recently_used", "on_demand", "always"),
        ("", "", "recently_used", "recently_used"),
        ("gone", "always", "on_demand", "always"),  # of a release that had one more
    ],
)
def test_whose_policy_counts(site, own, option, setting, which):
    site(setting, google={} if option is None else {"REFRESH_POLICY": option})
    assert policy_of(MailCredentials(provider="google", refresh_policy=own)) == which


def test_a_provider_that_is_gone_leaves_its_mailboxes_to_the_site(site):
    site("on_demand")
    assert policy_of(MailCredentials(provider="gone")) is Policy.ON_DEMAND


@pytest.mark.django_db
@pytest.mark.parametrize("setting", Policy)
def test_sql_and_python_agree_on_who_is_warm(site, user, setting):
    site(setting, google={"REFRESH_POLICY": "on_demand"}, plain={"REFRESH_POLICY": "recently_used"})
    now = timezone.now()
    moments = (now - 30 * DAY, now - DAY)
    rows = [
        MailCredentials(
            user=user, provider=alias, email=f"{number}@example.com", refresh_policy=own, last_used_at=used,
            connected_at=connected,
        )
        for number, (alias, own, used, connected) in enumerate(
            itertools.product(
                ("microsoft", "google", "plain", "gone"), ("", *Policy, "unheard"), (None, *moments), moments
            )
        )
    ]  # fmt: skip
    MailCredentials.objects.bulk_create(rows)
    expected = {row.pk for row in rows if is_warm(row, now)}
    assert 0 < len(expected) < len(rows)
    assert set(MailCredentials.objects.filter(warm(now)).values_list("pk", flat=True)) == expected
    others = MailCredentials.objects.filter(~warm(now)).values_list("pk", flat=True)
    assert set(others) == {row.pk for row in rows} - expected


class TestAMisspeltPolicy:
    def test_of_the_site_is_named_with_the_line_to_write(self, settings):
        settings.MAIL_OAUTH = {"REFRESH_POLICY": "recent"}
        (message,) = run_checks(tags=["mail_oauth"])
        assert message.id == "mail_oauth.E001"
        assert message.msg.endswith("write MAIL_OAUTH['REFRESH_POLICY'] = 'recently_used'.")

    @pytest.mark.parametrize("value", ["Always", "never", 1, ["always"]])
    def test_of_a_provider_is_named_with_the_line_to_write(self, site, value):
        site("always", google={"REFRESH_POLICY": value})
        (message,) = run_checks(tags=["mail_oauth"])
        assert message.id == "mail_oauth.E002"
        assert 'MAIL_OAUTH["PROVIDERS"]["google"]["REFRESH_POLICY"] is one of always, ' in message.msg
        with pytest.raises(ConfigurationError, match="REFRESH_POLICY"):
            provider_for("google")
