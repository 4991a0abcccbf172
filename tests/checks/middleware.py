"""Middleware of a site's own that does what Django's does."""

from django.contrib.sessions.middleware import SessionMiddleware


class OurSessions(SessionMiddleware):
    """A subclass, under another name."""


class AuthenticationMiddleware:
    """Another one, under the same name."""
