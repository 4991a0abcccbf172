"""A provider that nobody here wrote: django-oauth-toolkit, as a process of its own, driven by a real browser's way."""
