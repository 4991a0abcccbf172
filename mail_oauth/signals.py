"""Signals, sent after the change they speak of was saved.

Each is sent with `sender` the `MailCredentials` class, `credentials` the row and `reason` a code (or "").
A receiver's exception is logged and does not undo the change.
"""

from django.dispatch import Signal

mailbox_connected = Signal()
"""A mailbox was connected or reconnected."""

mailbox_disconnected = Signal()
"""A mailbox was disconnected by its user or an operator."""

token_refreshed = Signal()
"""A new access token was saved."""

mailbox_status_changed = Signal()
"""The status changed; additionally carries `old_status` and `new_status`."""
