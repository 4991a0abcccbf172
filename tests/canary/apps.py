from django.apps import AppConfig


class CanaryConfig(AppConfig):
    """Watches what each process with the suite's settings writes, if the run that it belongs to is watched."""

    name = "tests.canary"

    def ready(self) -> None:
        from tests.canary import taps

        taps.install()
