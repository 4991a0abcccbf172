"""What is not well: whose turn it is, what to do, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.utils.formats import number_format
from django.utils.translation import gettext_lazy

from mail_oauth.admin.notices import Level

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

US = gettext_lazy("This site's operators")
USERS = gettext_lazy("Their users")
ADMINISTRATORS = gettext_lazy("Their organisations' administrators")
PROVIDER = gettext_lazy("The provider")
NOBODY = gettext_lazy("Nobody: it passes by itself")


LISTS = ("mailcredentials", "providerhealth")
"""The models to whose lists ways lead."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way into a list of the admin: of which model, and filtered how."""

    words: str
    model: str
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def route(self) -> str:
        """The name of the list's address within the admin."""
        return f"admin:mail_oauth_{self.model}_changelist"

    @property
    def search(self) -> str:
        """The query as it stands in an address."""
        return urlencode(self.query)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that is not well: whose turn it is, what is the case, what to do, and where to look."""

    level: Level
    who: _StrOrPromise
    headline: str
    next_step: str
    way: Way | None = None


def mailboxes(words: str, **query: str) -> Way:
    """Return a way into the list of mailboxes."""
    return Way(words, "mailcredentials", query)


def figure(number: int) -> str:
    """Write a number with its thousands apart, as the language does."""
    return number_format(number, force_grouping=True)
