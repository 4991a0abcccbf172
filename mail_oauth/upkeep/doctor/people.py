"""The people: does who is to be told of a mailbox hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.models import MailCredentials, Notice
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown
from mail_oauth.upkeep.doctor.rounds import Probe, Round

WITHIN = timedelta(minutes=15)
"""Beat looks each minute; who waits for longer after their mail is due waits in vain."""

_SEND = "Run beat with this app's schedule and a worker, or let cron run `manage.py mail_oauth notify`."
_MEND = "See why in the log (action `notify`): `manage.py sendtestemail` goes by the same mail."


def _notices(_: None) -> Iterator[Outcome]:
    if not app_settings().notify:
        yield unknown('Nobody is mailed of mailboxes that need somebody: MAIL_OAUTH["NOTIFY"] is empty.')
        return
    notices = Notice.objects.using(MailCredentials.objects.write_alias()).of_users()
    failing = notices.filter(failures__gt=0).count()
    late = notices.filter(failures=0, due_at__lt=timezone.now() - WITHIN).count()
    if failing:
        yield doubtful(f"Users whose mail cannot be sent: {failing}.", _MEND)
    if late:
        yield doubtful(f"Users who should have been mailed: {late}.", _SEND)
    if not failing and not late:
        yield fine("Nobody waits for a mail that is due.")


def people_round() -> Round:
    """Return the round of those who are told."""
    return Round("people", PROBES)


PROBES = (Probe(id="people.notices", what="users whose mail is due, or cannot be sent", look=_notices),)
