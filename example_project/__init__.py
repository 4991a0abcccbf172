"""A small site that connects mailboxes; `make demo` runs all of it."""

from example_project.celery import app as celery_app

__all__ = ["celery_app"]
