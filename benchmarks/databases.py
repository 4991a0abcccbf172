"""The databases of a run: the large table's and a small one's, both with every table."""

from __future__ import annotations

from django.apps import apps
from django.core.management import call_command
from django.db import connection

SMALL = "small"
"""The alias of the small table's database."""


def prepare() -> None:
    """Make both databases."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {SMALL}")
    for alias in ("default", SMALL):
        call_command("migrate", database=alias, verbosity=0)
        call_command("migrate", database=alias, verbosity=0, run_syncdb=True)  # the peers' app has no migrations


def empty_peers() -> None:
    """Take the peers' accounts away, and give their space back."""
    peers = [
        config for config in apps.get_app_configs() if config.label in {"socialaccount", "social_django", "peers"}
    ]
    tables = [model._meta.db_table for config in peers for model in config.get_models()]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
