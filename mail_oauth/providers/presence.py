"""How a provider shows itself to users: its name, its brand, and the page where they withdraw what they granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Presence:
    """What `Provider` shows of itself."""

    alias: str
    options: Mapping[str, Any]
    display_name: ClassVar[str] = ""
    brand: ClassVar[str] = ""
    """Whose rules a button with the provider's mark keeps to (see `docs/pages.md`); empty: nobody's."""
    account_url: ClassVar[str] = ""
    """Where a user sees and withdraws what they granted."""

    @property
    def name(self) -> str:
        """What people call the provider."""
        return str(self.options.get("NAME") or self.display_name or self.alias)

    def account_page(self, tenant: str = "") -> str:
        """Return where a user of `tenant` withdraws what they granted; empty where nobody knows."""
        del tenant  # only some providers have a page for each kind of account
        return str(self.options.get("ACCOUNT_URL", self.account_url) or "")
