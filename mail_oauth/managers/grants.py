"""Whether a row that moved under a refresh is still the grant that was refreshed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mail_oauth.exceptions import SealError
from mail_oauth.managers.vocabulary import Status

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


def is_same_grant(current: MailCredentials, grant: MailCredentials) -> bool:
    """Tell whether `grant`, as it was claimed, is the grant that the row has by now.

    Switching OAuth off moves the generation but not the tokens: the pair that came back must not be dropped,
    because the provider may already have ended the stored one. Nor when another worker took the lease over and
    was refused with the very token that this pair replaced: the pair shows that the grant lives. Whoever changed
    the tokens, ended the connection, or holds a lease on the row since, has the right of way.
    """
    same_life = current.status != Status.DISCONNECTED
    free = current.lease_owner in {"", grant.lease_owner}
    return same_life and free and has_same_refresh_token(current, grant)


def has_same_refresh_token(current: MailCredentials, grant: MailCredentials) -> bool:
    """Tell whether two states of a row hold the same refresh token, though it was sealed under another key since."""
    if current.refresh_token == grant.refresh_token:
        return True
    if current.refresh_token is None or grant.refresh_token is None:
        return False
    try:
        return current.open_refresh_token() == grant.open_refresh_token()
    except SealError:
        return False
