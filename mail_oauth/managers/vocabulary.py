"""The words of a mailbox's life."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth.choices import Policy
from mail_oauth.refresh.classification import Trouble


class Status(TextChoices):
    """Whether a mailbox works, and who must act if it does not."""

    CONNECTED = "connected", pgettext_lazy("status", "connected")
    NEEDS_REAUTH = "needs_reauth", _("needs reconnecting by its user")
    NEEDS_ADMIN = "needs_admin", _("needs the user's administrator")
    NEEDS_ATTENTION = "needs_attention", _("refused for an unknown reason")
    UNREADABLE = "unreadable", _("unreadable: an operator must act")
    DISCONNECTED = "disconnected", pgettext_lazy("status", "disconnected")


class Access(TextChoices):
    """By whose right a mailbox is opened, and by which token."""

    USER = "user", _("its user's consent")
    OWN = "own", _("the app's access, by a token for this mailbox")
    SHARED = "shared", _("the app's access, by the token that the app has for all")
    APP = "app", _("no mailbox: the token that the app has for all")


class EventKind(TextChoices):
    """What can happen to a mailbox."""

    CONNECTED = "connected", pgettext_lazy("event", "connected")
    RECONNECTED = "reconnected", pgettext_lazy("event", "reconnected")
    REPLACED = "replaced", _("replaced by another account")
    IMPORTED = "imported", _("brought from elsewhere")
    REFRESHED = "refreshed", _("token refreshed")
    RECOVERED = "recovered", pgettext_lazy("event", "works again")
    REFRESH_FAILED = "refresh_failed", pgettext_lazy("event", "refresh failed")
    NEEDS_REAUTH = "needs_reauth", pgettext_lazy("event", "needs reconnecting")
    NEEDS_ADMIN = "needs_admin", _("needs the administrator")
    NEEDS_ATTENTION = "needs_attention", _("needs an operator's attention")
    USER_TOLD = "user_told", _("its user was told by mail")
    REINSTATED = "reinstated", _("not told to reconnect yet: too many at once")
    GRANT_ENDING = "grant_ending", pgettext_lazy("event", "grant ends soon")
    UNREADABLE = "unreadable", _("became unreadable")
    READABLE = "readable", _("readable again")
    VALUE_REFUSED = "value_refused", _("a stored value was refused")
    PAUSED = "paused", pgettext_lazy("event", "OAuth switched off")
    RESUMED = "resumed", pgettext_lazy("event", "OAuth switched on")
    DISCONNECTED = "disconnected", pgettext_lazy("event", "disconnected")
    REVOKED = "revoked", _("grant revoked at the provider")
    REVOCATION_FAILED = "revocation_failed", _("revocation failed")
    TOKENS_DROPPED = "tokens_dropped", _("tokens deleted here")
    REFRESH_ORDERED = "refresh_ordered", _("refresh asked for by staff")
    SIGN_IN_TESTED = "sign_in_tested", _("sign-in tested by staff")
    CACHE_REBUILT = "cache_rebuilt", _("cache entry rebuilt by staff")
    RECONNECT_ASKED = "reconnect_asked", _("user asked to reconnect")
    TOKEN_REVEALED = "token_revealed", _("token shown to staff")


class TroubleKind(TextChoices):
    """What holds a lane (see `Trouble`)."""

    CLIENT = Trouble.CLIENT.value, _("client authentication refused")
    CONFIGURATION = Trouble.CONFIGURATION.value, _("configuration refused")
    OUTAGE = Trouble.OUTAGE.value, _("provider unavailable")
    THROTTLE = Trouble.THROTTLE.value, _("provider asks for a pause")
    REAUTH = Trouble.REAUTH.value, _("too many grants refused at once")
    BY_HAND = Trouble.BY_HAND.value, _("held by staff")


class RefreshPolicy(TextChoices):
    """Which mailboxes the sweep keeps warm (see `Policy`)."""

    ALWAYS = Policy.ALWAYS.value, pgettext_lazy("kept warm", "always")
    RECENTLY_USED = Policy.RECENTLY_USED.value, pgettext_lazy("kept warm", "while it is used")
    ON_DEMAND = Policy.ON_DEMAND.value, pgettext_lazy("kept warm", "when its token is asked for")


class CountedOutcome(TextChoices):
    """What became of a call for a refresh, as it is counted."""

    GRANTED = "granted", pgettext_lazy("outcome of a refresh", "refreshed")
    RETRY = "retry", pgettext_lazy("outcome of a refresh", "tried again later")
    REAUTH = "reauth", _("refused: the user must reconnect")
    ADMIN = "admin", _("refused: their administrator must act")
    OPERATOR = "operator", _("refused: our configuration")
    UNKNOWN = "unknown", pgettext_lazy("outcome of a refresh", "refused for an unknown reason")
