"""Connecting, disconnecting and pausing mailboxes: the services behind views, admin and commands."""
