"""Each page of the app's own says where it lies, in one way, which a site can override."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse

import mail_oauth
from mail_oauth.models import ProviderHealth
from mail_oauth.operations.contract import Order
from mail_oauth.operations.jobs import order_job
from mail_oauth.operations.use import PAUSE
from tests.admin.conftest import CHANGELIST, page_of
from tests.admin.test_operations import press

TEMPLATES = Path(mail_oauth.__file__).parent / "templates"
ROOT = [("/admin/", "Home"), ("/admin/mail_oauth/", "Connected mailboxes")]
HEALTH = "/admin/mail_oauth/providerhealth/"

pytestmark = pytest.mark.django_db


def path_of(response) -> list[tuple[str, str]]:
    """The links above a page, and where it is itself."""
    [found] = re.findall(r'<ol class="breadcrumbs">(.*?)</ol>', response.content.decode(), re.DOTALL)
    links = re.findall(r'<li><a href="([^"]+)">([^<]+)</a></li>', found)
    return [*links, *(("", here) for here in re.findall(r'<li aria-current="page">([^<]+)</li>', found))]


def test_of_a_mailboxs_pages(root, connect, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "REVEAL_TOKENS": True}
    mailbox = connect(email="ada@example.com")
    mailboxes = [*ROOT, (CHANGELIST, "Mailboxes")]
    assert path_of(press(root, mailbox, "pause")) == [*mailboxes, ("", "Switch OAuth off")]
    reveal = path_of(root.get(page_of(mailbox, "reveal/")))
    assert reveal == [*mailboxes, (page_of(mailbox), "ada@example.com"), ("", "Show a token")]


def test_of_providers_pages(root, provider):
    lane = ProviderHealth.objects.create(provider="google", trouble="reauth", held=True)
    health = [*ROOT, (HEALTH, "Provider health")]
    assert path_of(root.get(f"{HEALTH}hold/")) == [*health, ("", "Hold calls")]
    question = root.post(f"{HEALTH}{lane.pk}/operation/release/")
    assert path_of(question) == [*health, ("", "Release")]


def test_of_a_job_and_of_the_dashboard(root, superuser, connect):
    job = order_job(PAUSE, [connect().pk], Order(actor=superuser))
    jobs = [*ROOT, ("/admin/mail_oauth/bulkjob/", "Bulk actions")]
    page = root.get(reverse("admin:mail_oauth_bulkjob_change", args=[job.pk]))
    assert path_of(page) == [*jobs, ("", "Switch OAuth off")]
    dashboard = path_of(root.get("/admin/mail_oauth/dashboard/"))
    assert dashboard == [*ROOT, ("", "Dashboard")]


def test_a_site_overrides_it_in_one_place(root, provider, settings, tmp_path):
    ours = tmp_path / "admin/mail_oauth/includes/breadcrumbs.html"
    ours.parent.mkdir(parents=True)
    ours.write_text("<p>Our own: {{ here }}</p>")
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path]}]
    assert "<p>Our own: Hold calls</p>" in root.get(f"{HEALTH}hold/").content.decode()


def test_no_template_writes_its_own():
    others = [path.name for path in TEMPLATES.rglob("*.html") if 'class="breadcrumbs"' in path.read_text()]
    assert others == ["breadcrumbs.html"]
