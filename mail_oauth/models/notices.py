"""Who is to be told what of mailboxes that need somebody."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import pgettext_lazy

from mail_oauth.managers.notices import EpisodeManager, NoticeManager
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models.mailboxes import MailCredentials


class Episode(models.Model):
    """A stretch of time in which a mailbox needs its user or their administrator. It ends when the mailbox works again.

    Written in the transaction that changes the mailbox. `told_at` is when its user was mailed of `need`, `reported_at`
    when the operators were; None as long as they are to be. An episode that is over stays only while its user is still
    to be told so: then `recovered_at` says since when.
    """

    credentials = models.OneToOneField(
        MailCredentials,
        models.CASCADE,
        primary_key=True,
        related_name="episode",
        # A constraint would be made, and dropped, under a lock for which everybody who writes a mailbox waits.
        db_constraint=False,
        verbose_name=pgettext_lazy("column", "mailbox"),
    )
    need = models.CharField(
        pgettext_lazy("column", "needs"),
        max_length=16,
        choices=[(status.value, status.label) for status in (Status.NEEDS_REAUTH, Status.NEEDS_ADMIN)],
    )
    began_at = models.DateTimeField(pgettext_lazy("column", "since"), default=timezone.now)
    told_at = models.DateTimeField(pgettext_lazy("column", "user told"), null=True)
    reported_at = models.DateTimeField(pgettext_lazy("column", "operators told"), null=True)
    recovered_at = models.DateTimeField(pgettext_lazy("column", "works again"), null=True)

    objects = EpisodeManager()

    class Meta:
        verbose_name = pgettext_lazy("time in which a mailbox does not work", "episode")
        verbose_name_plural = pgettext_lazy("time in which a mailbox does not work", "episodes")
        indexes = [models.Index(fields=["reported_at", "began_at"], name="mail_oauth_unreported")]

    def __str__(self) -> str:
        return f"{self.credentials_id} {self.need}"


class Notice(models.Model):
    """Whom to mail next, and when: a user, or the operators. What to say, their mailboxes' episodes tell.

    A worker claims one by moving `due_at` to the end of its lease; `version` is raised by each change of an episode, so
    that none falls between reading and settling. While `mass_until` lies ahead, a mass event goes on (operators only).
    """

    recipient = models.CharField(max_length=255, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+", db_constraint=False
    )
    due_at = models.DateTimeField(null=True)
    owner = models.CharField(max_length=64, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    failures = models.PositiveIntegerField(default=0)
    mass_until = models.DateTimeField(null=True)

    objects = NoticeManager()

    class Meta:
        verbose_name = pgettext_lazy("mail to somebody", "notice")
        verbose_name_plural = pgettext_lazy("mail to somebody", "notices")
        indexes = [models.Index(fields=["due_at"], name="mail_oauth_notice_due")]

    def __str__(self) -> str:
        return self.recipient
