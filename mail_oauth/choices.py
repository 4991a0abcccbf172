"""What settings choose from."""

from __future__ import annotations

from enum import StrEnum


class Policy(StrEnum):
    """Which mailboxes the sweep keeps warm. Whatever it says, grants are kept alive."""

    ALWAYS = "always"
    RECENTLY_USED = "recently_used"
    ON_DEMAND = "on_demand"


class Sharing(StrEnum):
    """What becomes of a mailbox that another user has connected already."""

    ALLOW = "allow"
    REFUSE = "refuse"


class MailProtocol(StrEnum):
    """By which protocol a mailbox is opened."""

    IMAP = "imap"
    POP = "pop"
    SMTP = "smtp"


class Notified(StrEnum):
    """Who is mailed when a mailbox needs somebody."""

    USERS = "users"
    OPERATORS = "operators"
    ALL = "all"
