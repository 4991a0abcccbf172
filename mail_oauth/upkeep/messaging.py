"""The site's Celery app, as far as this process can know it."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any, cast

from celery import current_app
from django.conf import ENVIRONMENT_VARIABLE, settings

from mail_oauth.exceptions import ConfigurationError

_FALLBACK = "default"


def site_app() -> Any:
    """Return the Celery app of this site, or None where it has none.

    That is the one that was made last, as by a project whose package imports it; else the one in the module `celery`
    beside the settings or the URLs, where Celery's documentation puts it. Raises `ConfigurationError` where that
    module cannot be imported, or the app's settings cannot be read.
    """
    if (app := _current()) is None:
        for name in _usual_places():
            _import(name)
            if (app := _current()) is not None:
                break
    if app is not None:
        _read(app)
    return app


def _current() -> Any:
    """Return the app that tasks are sent by, unless it is the one that Celery makes up when there is none."""
    app = cast(Any, current_app)._get_current_object()  # not the proxy, which means another one in another thread
    return None if app.main == _FALLBACK and not app.set_as_current else app


def _usual_places() -> Iterator[str]:
    """Name the modules `celery` that there are in the packages of the settings and of the URLs."""
    modules = (os.environ.get(ENVIRONMENT_VARIABLE), getattr(settings, "ROOT_URLCONF", None))
    packages = [package for module in modules if (package := str(module or "").rpartition(".")[0])]
    packages += [outer for package in packages if (outer := package.rpartition(".")[0])]
    for package in dict.fromkeys(packages):
        name = f"{package}.celery"
        if _is_there(name):
            yield name


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except Exception as error:  # it imports the package
        raise _broken(name.rpartition(".")[0], error) from error


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise _broken(name, error) from error


def _broken(module: str, error: Exception) -> ConfigurationError:
    remedy = f"`manage.py shell -c 'import {module}'` shows where."
    return ConfigurationError(f"{module} cannot be imported ({type(error).__name__}): {remedy}")


def _read(app: Any) -> None:
    """Have Celery read the app's settings, which it puts off: old and new names together are refused, for one."""
    try:
        _ = app.conf.broker_url
    except Exception as error:
        told = f"The settings of the Celery app {app.main!r} cannot be read ({type(error).__name__})"
        raise ConfigurationError(f"{told}: `celery -A … report` shows why.") from error
