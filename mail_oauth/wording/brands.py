"""What stands on a button that carries a provider's mark, and beside it, as the provider's rules have it.

Google: https://developers.google.com/identity/branding-guidelines ("Sign in with …", "Sign up with …" or "Continue with
Google", which may be translated; standard colours of the mark). Microsoft: `howto-add-branding-in-apps.md` ("Sign in with
Microsoft", with a word on which accounts are meant; the mark is not altered). The marks are theirs, and are not part of
this app: a site puts them in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from mail_oauth.providers import Provider

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_LABELS: dict[str, _StrOrPromise] = {
    "google": _("Continue with Google"),
    "microsoft": _("Sign in with Microsoft"),
}
_ANY_ACCOUNT = _("With a work, school or personal account")
_WORK_ACCOUNT = _("With your work or school account")
_PERSONAL_ACCOUNT = _("With your personal Microsoft account")
_ACCOUNTS: dict[str, _StrOrPromise] = {"common": _ANY_ACCOUNT, "consumers": _PERSONAL_ACCOUNT}


def branded_label(provider: Provider) -> _StrOrPromise:
    """Return the label of a button with the provider's mark; empty where no rules are known."""
    return _LABELS.get(provider.brand, "")


def branded_hint(provider: Provider) -> _StrOrPromise:
    """Return which accounts serve, for beside such a button; empty where nothing need be said."""
    if provider.brand != "microsoft":
        return ""
    return _ACCOUNTS.get(str(provider.options.get("TENANT", "common")).lower(), _WORK_ACCOUNT)
