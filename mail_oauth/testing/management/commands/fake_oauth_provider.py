"""``manage.py fake_oauth_provider``: a fake identity provider for demos."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mail_oauth.testing.commandline import CannotServe, add_arguments, run


class Command(BaseCommand):
    """Runs the fake identity provider until Ctrl-C or SIGTERM."""

    help = "Run a fake Microsoft, Google, OpenID Connect and plain OAuth provider on 127.0.0.1, and mail servers."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Serve."""
        try:
            run(options, self._write)
        except CannotServe as error:
            raise CommandError(str(error)) from error

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
