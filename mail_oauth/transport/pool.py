"""The process's one pool of connections, and the bounded adapter over it.

A new session per call would parse the certificate bundle and shake hands each time: some 20 ms of CPU.
"""

from __future__ import annotations

import os
import ssl
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import certifi
from django.core.signals import setting_changed
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies
from urllib3.exceptions import DecodeError, HTTPError

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import TransportError
from mail_oauth.transport.deadlines import DeadlineHTTPPool, DeadlineHTTPSPool

MAX_BODY = 1024 * 1024
"""The longest body that is read from a provider, in bytes after decompression."""

_POOLS = {"http": DeadlineHTTPPool, "https": DeadlineHTTPSPool}


@lru_cache(maxsize=4)
def _tls_context(bundle: str) -> ssl.SSLContext:
    """Read a file or a folder of certificates: some 15 ms of CPU, spent once."""
    where = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
    return ssl.create_default_context(**where)  # type: ignore[arg-type]


class BoundedAdapter(HTTPAdapter):
    """An adapter with one TLS context, whose replies come with their capped body read."""

    def __init__(self) -> None:
        """Read the certificates and the proxies of the environment, once."""
        settings = app_settings()
        bundle = settings.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
        self.ssl_context = _tls_context(bundle)
        self.proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else getproxies()
        self.ignore_no_proxy = bool(settings.proxy)
        super().__init__(pool_connections=32, pool_maxsize=64)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections that keep deadlines."""
        super().init_poolmanager(*args, ssl_context=self.ssl_context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The same for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, ssl_context=self.ssl_context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Certificates are always verified, by the context: naming a bundle here would load it again."""
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send, and read the body up to the cap. Raises `TransportError` if that fails."""
        kwargs.update(stream=True, verify=True)
        if self.proxies and (self.ignore_no_proxy or not should_bypass_proxies(request.url or "", None)):
            kwargs["proxies"] = self.proxies
        response = super().send(request, *args, **kwargs)
        try:
            body = response.raw.read(MAX_BODY + 1, decode_content=True)
        except DecodeError:
            response.raw.close()  # it may go on for ever, without a length that would tell
            raise TransportError(
                "The reply cannot be decompressed.", cause="bad_encoding", outcome_unknown=True
            ) from None
        except (HTTPError, OSError) as error:
            cause = "timeout" if isinstance(error, TimeoutError) or "timed out" in str(error) else "body_lost"
            raise TransportError("The reply broke off.", cause=cause, outcome_unknown=True) from None
        finally:
            if not response.raw.closed and response.raw.length_remaining not in (0, None):
                response.raw.close()
        if len(body) > MAX_BODY:
            response.raw.close()
            raise TransportError("The reply is too large.", cause="too_large", outcome_unknown=True)
        response.raw.release_conn()
        response._content = body  # what requests itself sets after reading
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


_lock = threading.Lock()
_adapter: BoundedAdapter | None = None


def adapter() -> BoundedAdapter:
    """Return the process's adapter, made at the first call and anew in a forked child."""
    global _adapter
    if _adapter is None:
        with _lock:
            if _adapter is None:
                _adapter = BoundedAdapter()
    return _adapter


def forget_pool(**_: Any) -> None:
    """Drop the pool: sockets must not be shared with a forked child, nor outlive changed settings."""
    global _adapter, _lock
    _adapter, _lock = None, threading.Lock()


def _on_setting(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        forget_pool()


os.register_at_fork(after_in_child=forget_pool)
setting_changed.connect(_on_setting, dispatch_uid="mail_oauth.transport")
