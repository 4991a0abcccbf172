"""Time that passes without waiting: everything that is stored becomes so much older."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.apps import apps
from django.core.cache import cache
from django.db.models import DateTimeField, F, Model
from django.utils import timezone

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.sweep import SweepReport, refresh_batch

_AN_AGE = timedelta(days=5000)


def pass_time(by: timedelta) -> None:
    """Make all that the database holds so much older. What a cache holds would have expired."""
    age_rows(by)
    cache.clear()


def age_rows(by: timedelta, *, but: Collection[type[Model]] = ()) -> None:
    """Move every moment in every table of the app back, but for those of some models."""
    for model in apps.get_app_config("mail_oauth").get_models():
        names, rows = moments(model), model._base_manager
        if names and model not in but and rows.exists():
            for step in steps(model, by):
                rows.update(**{name: F(name) - step for name in names})


def moments(model: type[Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, DateTimeField)]


def steps(model: type[Model], by: timedelta) -> tuple[timedelta, ...]:
    """Usually one; two, by the way of another age, where a moment is unique: two rows may not meet on the way."""
    unique = {name for constraint in model._meta.total_unique_constraints for name in constraint.fields}
    return (by + _AN_AGE, -_AN_AGE) if unique & set(moments(model)) else (by,)


def until_due(at_most: timedelta, *, tick: timedelta = timedelta(minutes=1)) -> timedelta:
    """How long beat finds nothing to do, in whole ticks."""
    next_at = MailCredentials.objects.order_by("refresh_at").exclude(refresh_at=None).values_list("refresh_at")
    first = next_at.first()
    if first is None:
        return at_most
    ticks = max(-(-(first[0] - timezone.now()) // tick), 1)
    return min(ticks * tick, at_most)


def sweep() -> SweepReport:
    """What beat has done each minute."""
    return refresh_batch(revoke=retry_revocation, threads=0)
