"""Keeps users' mailboxes connected over OAuth: tokens live encrypted in the database, caches are copies."""

__version__ = "0.1.0"
