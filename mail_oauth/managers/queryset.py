"""Querysets that read as a vocabulary, and the claim by which one worker holds a mailbox."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.db import connections, models, transaction
from django.db.models import Case, F, Q, When

from mail_oauth.conf import app_settings
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.managers.loading import RowLoader
from mail_oauth.managers.vocabulary import Access, Status

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials

REFRESHABLE = (Status.CONNECTED, Status.NEEDS_ADMIN, Status.NEEDS_ATTENTION, Status.UNREADABLE)
"""The states in which a refresh may be tried: whatever a provider or an operator may have mended meanwhile."""

ATTENTION = (Status.NEEDS_REAUTH, Status.NEEDS_ADMIN, Status.NEEDS_ATTENTION, Status.UNREADABLE)
"""The states in which someone must act."""


PLAIN = Q(status__in=REFRESHABLE, use_oauth=True, lease_owner="")
"""What is due for nothing but a call of its provider: nothing is to be revoked, and no worker died over it."""

NOT_SWEPT = frozenset(
    (
        "access_token status_changed_at last_refreshed_at rejected_at created_at "
        "granted_scopes email_verified address_typed sign_in_address refresh_at grant_warned_at"
    ).split()
)
"""What a sweep need not read of the rows that it claims. Reading such a column later costs a query."""


class MailCredentialsQuerySet(models.QuerySet["MailCredentials"]):
    """Questions about mailboxes."""

    def for_user(self, user: Any) -> MailCredentialsQuerySet:
        """Mailboxes of one user; nobody has none, also where the app is let into some."""
        return self.none() if user is None else self.filter(user=user)

    def healthy(self) -> MailCredentialsQuerySet:
        """Mailboxes that are connected, and in use; the app's own access is none."""
        return self.exclude(access=Access.APP).filter(status=Status.CONNECTED, use_oauth=True)

    def needing_attention(self) -> MailCredentialsQuerySet:
        """Mailboxes that someone must do something about."""
        return self.filter(status__in=ATTENTION)

    def present(self) -> MailCredentialsQuerySet:
        """Mailboxes that were not disconnected."""
        return self.exclude(status=Status.DISCONNECTED)

    def without_tokens(self) -> MailCredentialsQuerySet:
        """The same rows, their token columns left in the database: for pages and lists."""
        return self.defer("access_token", "refresh_token")

    def due(self) -> MailCredentialsQuerySet:
        """What the sweep takes next. Only `refresh_at` schedules, so one index serves."""
        return self.filter(refresh_at__lte=DatabaseNow())

    def claim(
        self, pk: UUID, *, generation: int, force: bool = False, rejected: bool = False, used: bool = False
    ) -> MailCredentials | None:
        """Lease one mailbox for a refresh, or return None when it is leased, paused or not refreshable.

        None also when it is not of `generation` any more: who has just saved a token did the work already.
        Without `force`, one that failed is left alone until its pause is over. The lease's end is
        `refresh_at`: a worker that dies leaves a row that falls due by itself. With `rejected`, because a mail
        server refused the token, at most once within `REJECTION_INTERVAL`. With `used`, because somebody asks for the
        token, that is written down, and the policy by which the new pair is saved knows of it.
        """
        idle = Q(lease_owner="") if force else Q(lease_owner="", refresh_failures=0)
        free = self.filter(idle | Q(refresh_at__lte=DatabaseNow()), generation=generation)
        also: dict[str, Any] = {"last_used_at": DatabaseNow()} if used else {}
        if rejected:
            lately = DatabaseNow() - timedelta(seconds=app_settings().rejection_interval)
            free = free.filter(Q(rejected_at__isnull=True) | Q(rejected_at__lte=lately))
            also["rejected_at"] = DatabaseNow()
        owner = self._lease(free.filter(pk=pk, use_oauth=True, status__in=REFRESHABLE), **also)
        return self.filter(pk=pk, lease_owner=owner).first()

    def claim_due(self, limit: int, among: Q | None = None) -> list[MailCredentials]:
        """Lease the next `limit` due mailboxes, the longest due first; two claimers never get the same.

        With `among`, of those that meet a condition. Columns that a refresh does not need stay in the database.
        """
        candidates = self.due().order_by("refresh_at")
        if among is not None:
            candidates = candidates.filter(among)
        connection = connections[self.db]
        if connection.vendor == "postgresql":
            return self._claim_in_one(candidates.values("pk", "refresh_at")[:limit])
        if connection.features.has_select_for_update_skip_locked:
            candidates = candidates.select_for_update(skip_locked=True)
        with transaction.atomic(using=self.db):
            pks = list(candidates.values_list("pk", flat=True)[:limit])
            if not pks:
                return []
            owner = self._lease(self.due().filter(pk__in=pks))
        claimed = self.filter(pk__in=pks, lease_owner=owner).defer(*NOT_SWEPT)
        places = {pk: place for place, pk in enumerate(pks)}
        return sorted(claimed, key=lambda row: places[row.pk])

    def _claim_in_one(self, candidates: Any) -> list[MailCredentials]:
        """Select, lease and read in one round trip instead of five, for two thirds of the CPU."""
        loader = RowLoader(self.model, self.db, NOT_SWEPT)
        selected, values = candidates.query.get_compiler(self.db).as_sql()
        lease: Any = timedelta(seconds=app_settings().lease_seconds)
        sql = (
            f"WITH due (id, due_at) AS MATERIALIZED ({selected} FOR UPDATE SKIP LOCKED) UPDATE {self.model._meta.db_table} AS stored "  # noqa: S608  # our own columns' names
            "SET lease_owner = %s, refresh_at = STATEMENT_TIMESTAMP() + %s, "
            "outcome_unknown = stored.outcome_unknown OR stored.lease_owner <> '' "
            "FROM due WHERE stored.id = due.id "
            f"RETURNING {loader.columns('stored')}, EXTRACT(EPOCH FROM due.due_at)::float8"
        )
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [*values, uuid4().hex, lease])
            found = cursor.fetchall()
        return loader.load(sorted(found, key=itemgetter(-1)))

    def nudge(self, pk: UUID) -> bool:
        """Make a mailbox due now, unless it is leased or paused after a failure."""
        idle = self.filter(pk=pk, lease_owner="", refresh_failures=0, refresh_at__gt=DatabaseNow())
        return bool(idle.update(refresh_at=DatabaseNow()))

    def give_back(self, rows: Iterable[MailCredentials]) -> int:
        """Make claimed rows, of which none was begun, due again at once; what the lease was lost of is skipped."""
        return self._release(rows, DatabaseNow())

    def postpone(self, rows: Iterable[MailCredentials], seconds: float) -> int:
        """Release claimed rows, of which none was begun, until calls of their lane are tried again."""
        return self._release(rows, DatabaseNow() + timedelta(seconds=seconds))

    def unschedule(self, row: MailCredentials) -> bool:
        """Release a claimed row for which there is nothing to do until somebody acts."""
        ours = self.filter(pk=row.pk, lease_owner=row.lease_owner)
        return bool(ours.update(lease_owner="", refresh_at=None))

    def dead_leases(self) -> MailCredentialsQuerySet:
        """Rows whose lease ended long ago under a worker that died."""
        long_ago = DatabaseNow() - timedelta(seconds=app_settings().lease_seconds)
        return self.filter(refresh_at__lte=long_ago).exclude(lease_owner="")

    def make_due(self) -> int:
        """Have the sweep take these mailboxes next, whatever pause they are in; leased ones are left alone."""
        idle = self.order_by().filter(lease_owner="", use_oauth=True, status__in=REFRESHABLE)
        return idle.update(refresh_at=DatabaseNow())

    def release_dead_leases(self) -> int:
        """Clear the owner of leases that ended long ago; the rows are due in any case."""
        return self.dead_leases().update(lease_owner="", outcome_unknown=True)

    def _release(self, rows: Iterable[MailCredentials], due: Any) -> int:
        held = {row.pk: row.lease_owner for row in rows}
        ours = self.filter(pk__in=held, lease_owner__in=set(held.values()))
        return ours.update(lease_owner="", refresh_at=due) if held else 0

    def _lease(self, rows: MailCredentialsQuerySet, **also: Any) -> str:
        """Take a lease on `rows` in one UPDATE, which also proves that the database can be written."""
        owner = uuid4().hex
        until = DatabaseNow() + timedelta(seconds=app_settings().lease_seconds)
        # Who held a lease to its end may have spent the refresh token without saving what came for it. This
        # stands first: MariaDB assigns from left to right, and it reads the old owner.
        unknown = Case(When(lease_owner="", then=F("outcome_unknown")), default=True)
        rows.update(outcome_unknown=unknown, lease_owner=owner, refresh_at=until, **also)
        return owner
