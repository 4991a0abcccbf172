"""Signals, sent after the change they speak of was saved.

Those about a mailbox are sent with `sender` the `MailCredentials` class, `credentials` the row and `reason` a code
(or ""), whose `user` is None where the app itself is let into the mailbox; those about a lane with `sender` the `ProviderHealth` class and `health` the row; `value_refused` says for
itself what it carries.
A receiver's exception is logged and does not undo the change.
"""

from django.dispatch import Signal

mailbox_connected = Signal()
"""A mailbox was connected or reconnected, by its user or (`reason` says from where) by an import."""

mailbox_disconnected = Signal()
"""A mailbox was disconnected by its user or an operator."""

token_refreshed = Signal()
"""A new access token was saved."""

mailbox_status_changed = Signal()
"""The status changed; additionally carries `old_status` and `new_status`."""

grant_ending = Signal()
"""The grant of a mailbox ends soon, at `credentials.refresh_token_expires_at`; sent once, `GRANT_WARNING_DAYS` ahead."""

user_notified = Signal()
"""A user was mailed of mailboxes that need somebody, or with `recovered` that work again.

Sent with `sender` the `MailCredentials` class, `user`, and `mailboxes`, a list of rows: no more than one for each
episode, and hence what another channel of the site's own should go by.
"""

value_refused = Signal()
"""A stored secret was found altered, moved or unbound, and was not used: somebody writes where only this app should.

`mailbox` is its primary key (None for a consent under way), `where` the column, ``"cache"`` or ``"parked"``, `cause` the
`code` of a `SealError`. A refresh token that is refused makes its mailbox unreadable, of which `mailbox_status_changed`
tells.
"""

lane_held = Signal()
"""The calls of a provider app, or of one organisation there, are held; or, if `health.trouble` is "reauth", so many
grants were refused at once that no user is told for now. Sent once for each hold: alert whoever operates the site."""

lane_released = Signal()
"""Such a hold is over."""
