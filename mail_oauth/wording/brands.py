"""What stands on a button that carries a provider's mark, as the provider's rules have it.

Google: https://developers.google.com/identity/branding-guidelines ("Sign in with …", "Sign up with …" or "Continue with
Google", which may be translated; standard colours of the mark). Microsoft: `howto-add-branding-in-apps.md` ("Sign in with
Microsoft"; the mark is not altered). The marks are theirs, and are not part of this app: a site puts them in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

BRANDED_LABELS: dict[str, _StrOrPromise] = {
    "google": _("Continue with Google"),
    "microsoft": _("Sign in with Microsoft"),
}
"""By `Provider.brand`."""
