"""Database routers, right and wrong."""

from typing import Any


class ReadsElsewhere:
    """Reads go to a replica, as they may."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


class HistoryElsewhere:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model.__name__ == "CredentialEvent" else None


class UsersElsewhere:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "accounts" if model.__name__ == "User" else None


class Nowhere:
    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "nowhere"


class NoTables:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "mail_oauth" else None


class Aside:
    """Everything goes to a database of the test's own."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "aside"


class Broken:
    """One that cannot be imported fails in the same way: as soon as it is asked."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        raise ModuleNotFoundError("no_such")
