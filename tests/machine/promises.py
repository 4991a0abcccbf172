"""What must hold after every step, whatever the steps were. Each promise looks at one mailbox."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mail_oauth import parking, usage
from mail_oauth.cache import MAIL, Header, token_cache
from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.tokens import AccessToken
from tests.machine.oracle import Mailbox
from tests.machine.world import World, cache_names, cached_bytes

CONNECTIONS = {EventKind.CONNECTED, EventKind.RECONNECTED, EventKind.REPLACED}
REFRESHES = {EventKind.REFRESHED, EventKind.RECOVERED}


def no_refresh_token_is_lost(mailbox: Mailbox, row: MailCredentials) -> None:
    """What the provider gave, and what arrived, stands in the row, or waits for it where the row adopts it.

    Not even for a grant that is dead: who knows what the provider's refusal was worth.
    """
    if not mailbox.connected or mailbox.losable:
        return
    kept = {row.open_refresh_token().reveal()}
    pair = parked_for(row, look_only=True)
    if pair is not None and pair.tokens.refresh_token is not None:
        kept.add(pair.tokens.refresh_token.reveal())
    assert kept & mailbox.good, "the newest refresh token stands neither in the row nor is it parked for it"


def only_a_refusal_of_the_grant_troubles_its_user(mailbox: Mailbox, row: MailCredentials) -> None:
    if row.status == Status.NEEDS_REAUTH:
        assert mailbox.refusals or mailbox.losable, "the provider has not refused this grant"
    if row.status == Status.NEEDS_ADMIN:
        waits = mailbox.losable or parked_for(row, look_only=True) is not None  # a success that was not saved yet
        assert mailbox.admin or waits, "the provider has not asked for an administrator"
    assert row.status != Status.UNREADABLE
    assert (row.status != Status.DISCONNECTED) == mailbox.connected
    assert row.use_oauth != mailbox.paused


def nothing_unusable_answers_from_the_cache(row: MailCredentials) -> None:
    if not row.is_connected:
        assert token_cache.get(row.pk) is None, f"a {row.status} mailbox answers"


def what_is_cached_is_a_copy_of_the_row(mailbox: Mailbox, row: MailCredentials) -> None:
    """A copy is never of a generation that the row has not reached; of the row's own it is the very token."""
    header = Header.parse(cached_bytes(row.pk, MAIL))
    copy = token_cache.get(row.pk)
    assert header is None or header.generation <= row.generation, "a copy is newer than its row"
    if copy is not None and row.is_connected and copy.generation == row.generation:
        assert copy == row.open_access_token()


def every_change_has_one_event(world: World, mailbox: Mailbox, row: MailCredentials) -> None:
    """The generation counts changes; each has one event of its number, and each change of status one signal."""
    assert row.generation >= mailbox.generation, "the generation fell"
    mailbox.generation = row.generation
    changes = row.events.exclude(kind__in=[EventKind.GRANT_ENDING, EventKind.VALUE_REFUSED])
    history = list(changes.order_by("generation", "pk").values_list("generation", "kind"))
    assert [number for number, _ in history] == list(range(1, row.generation + 1)), "events and changes differ"
    kinds = [kind for _, kind in history]
    heard = world.ears.others[row.pk]
    assert heard.count("mailbox_connected") == sum(kind in CONNECTIONS for kind in kinds)
    assert heard.count("token_refreshed") == sum(kind in REFRESHES for kind in kinds)
    assert heard.count("mailbox_disconnected") == kinds.count(EventKind.DISCONNECTED)
    status = Status.CONNECTED.value
    for old, new in world.ears.status[row.pk]:
        assert old == status != new, "a signal of a change that was none"
        status = new
    assert status == row.status, "a change of status without its signal"


def no_needless_post(mailbox: Mailbox) -> None:
    """A failed save asks the provider for nothing, and a claim asks once."""
    assert mailbox.posts <= mailbox.budget, f"{mailbox.posts} refreshes where {mailbox.budget} would do"


def it_is_scheduled(row: MailCredentials) -> None:
    """Whatever can be refreshed will be, and before its token expires, unless a failure or a held lane makes it wait."""
    if row.status != Status.CONNECTED or not row.use_oauth:
        return
    assert row.refresh_at is not None, "this mailbox has fallen out of the schedule"
    if not row.refresh_failures and not row.lease_owner and row.token_expiry > timezone.now():
        settings = app_settings()
        postponed = timezone.now() + timedelta(seconds=2 * settings.circuit_cap)
        assert row.refresh_at < max(row.token_expiry, postponed), "its token expires before it is refreshed"


def what_is_gone_stays_gone(mailbox: Mailbox) -> None:
    """A deleted mailbox has no row, no copy, and nothing in the cache that its key would open."""
    assert not MailCredentials.objects.filter(pk=mailbox.pk).exists(), "a deleted row has come back"
    assert token_cache.get(mailbox.pk) is None, "a deleted mailbox answers"


def no_refresh_token_is_cached(world: World, refresh_tokens: set[str], rows: list[MailCredentials]) -> None:
    """Nor does anything stand there in clear; parked pairs are the one exception, and sealed."""
    for row in rows:
        copy = token_cache.get(row.pk)
        assert copy is None or copy.reveal() not in refresh_tokens, "a refresh token is cached as if for access"
        seen = b"".join(cached_bytes(row.pk, kind) for kind in (MAIL, parking.RESOURCE, usage.RESOURCE))
        assert not any(secret.encode() in seen for secret in world.secrets), "a token stands in the cache in clear"
        shown = repr(row) + str(row) + repr(vars(row))
        assert not any(secret in shown for secret in world.secrets), "a token is shown by repr"
    kinds = ("mail_oauth:mail:", "mail_oauth:parked:", "mail_oauth:used:", "mail_oauth:pulse:")
    strangers = [name for name in cache_names() if not any(kind in name for kind in kinds)]
    assert not strangers, "something else stands in the cache"


def no_secret_is_logged(world: World) -> None:
    text = world.caplog.text + " ".join(str(vars(record)) for record in world.caplog.records)
    assert not any(secret in text for secret in world.secrets), "a secret is logged"


def the_token_is_this_mailboxs(mailbox: Mailbox, token: AccessToken) -> None:
    """Whoever gets a token gets one of this mailbox's present grant, which its provider takes while that lives."""
    family = mailbox.provider.family_of(access_token=token.reveal())
    assert family is not None, "a token that this provider never issued"
    assert family.id == mailbox.family, "a token of another mailbox, or of a grant that was replaced"
    assert mailbox.connected, "a disconnected mailbox hands out tokens"
    assert not mailbox.paused, "a paused mailbox hands out tokens"
    if family.ended is None:
        assert mailbox.provider.is_valid_access_token(token.reveal(), mailbox.email), "a token that has expired"
