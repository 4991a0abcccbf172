"""Which scopes a provider is asked for: at the consent, for the mailbox, and for other resources of the same grant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.tokens import scope_set

NOT_MAIL_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
"""Scopes whose absence from a reply says nothing (Microsoft leaves `offline_access` out, Google renames)."""


ALL_GIVEN = "/.default"
"""The end of a scope that stands for all that an app was given, and is named in no reply."""


class Scoping:
    """What `Provider` knows of scopes."""

    alias: str
    scopes: ClassVar[tuple[str, ...]] = ()
    sends_scope_on_refresh: ClassVar[bool] = False
    resources: ClassVar[Mapping[str, Any]] = {}
    """Scopes of other resources that one grant opens, by the name that `get_access_token(resource=…)` takes."""
    protocol_scopes: ClassVar[Mapping[str, str]] = {}
    """The end of the scope that each of IMAP, POP and SMTP needs, as far as it is known."""

    def setting(self, name: str) -> Any:
        """Return an option (see `Provider`)."""
        raise NotImplementedError

    def placeholders(self) -> dict[str, str]:
        """Return what stands for `{names}` (see `Provider`)."""
        raise NotImplementedError

    @property
    def requested_scopes(self) -> tuple[str, ...]:
        """The scopes to ask for."""
        return scope_set(self.setting("SCOPES"))

    def resource_scopes(self, resource: str) -> tuple[str, ...]:
        """Return the scopes of another resource than the mailbox. Raises `ConfigurationError` for an unknown one."""
        named = self.setting("RESOURCES")
        if resource not in named:
            raise ConfigurationError(
                f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["RESOURCES"] has no {resource!r}: '
                f'write "RESOURCES": {{"{resource}": [its scopes]}}, and have mailboxes connected again.'
            )
        return tuple(scope.format(**self.placeholders()) for scope in scope_set(named[resource]))

    @property
    def consented_scopes(self) -> tuple[str, ...]:
        """The scopes to ask the user for: those of the mailbox, and of every other resource."""
        others = [scope for name in self.setting("RESOURCES") for scope in self.resource_scopes(name)]
        return tuple(dict.fromkeys([*self.requested_scopes, *others]))

    @property
    def redeemed_scope(self) -> str:
        """The scope to redeem a code for; empty: as consented. One of several resources must be chosen there."""
        one_of_many = self.sends_scope_on_refresh and self.setting("RESOURCES")
        return " ".join(self.requested_scopes) if one_of_many else ""

    def missing_scopes(self, granted: tuple[str, ...] | None, requested: tuple[str, ...]) -> tuple[str, ...]:
        """Return the mail scopes that were asked for and not granted (case-sensitive, RFC 6749 §3.3)."""
        if granted is None:  # an absent scope means "as requested" (RFC 6749 §5.1)
            return ()
        no_need = NOT_MAIL_SCOPES.union(granted)
        return tuple(scope for scope in requested if scope not in no_need and not scope.endswith(ALL_GIVEN))

    def lacking_scope(self, protocol: str, granted: tuple[str, ...]) -> str:
        """Return the scope that a protocol needs and a grant lacks; empty where it has it, or where nobody can tell."""
        needed = self.protocol_scopes.get(protocol, "")
        return "" if not granted or any(scope.endswith(needed) for scope in granted) else needed

    def refresh_scope(self, requested: str) -> str:
        """Return the scope to name at a refresh; empty: as granted."""
        return requested if self.sends_scope_on_refresh else ""
