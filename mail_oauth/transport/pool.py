"""The process's one pool of connections, over urllib3, and the bounded call over it.

A new session per call would parse the certificate bundle and shake hands each time: some 20 ms of CPU. A session
of requests does more than is wanted here (cookies, redirects, which would carry a token elsewhere), and that
takes longer than all the rest of a call.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import certifi
from django.core.signals import setting_changed
from requests.utils import get_auth_from_url, select_proxy, should_bypass_proxies
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.exceptions import LocationParseError
from urllib3.util import Retry, Timeout, make_headers, parse_url

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import HttpReply
from mail_oauth.transport.connections import PlainPool, TLSPool

_PROXY_SCHEMES = ("http", "https")
_NO_RETRY = Retry(total=False)


def trusting_context() -> ssl.SSLContext:
    """Return a new TLS context that trusts whom the settings trust: some 15 ms of CPU. Raises `ConfigurationError`."""
    return context_trusting(certificates())


def certificates() -> str:
    """Return the file or folder of the certificates to trust."""
    return app_settings().ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()


def context_trusting(bundle: str) -> ssl.SSLContext:
    """Return a new TLS context that trusts a file or a folder of certificates. Raises `ConfigurationError`."""
    try:
        folder = Path(bundle).is_dir()
        if not folder or any(Path(bundle).iterdir()):
            return ssl.create_default_context(**{"capath" if folder else "cafile": bundle})  # type: ignore[arg-type]
        problem = "holds no certificate"
    except ssl.SSLError:
        problem = "holds no certificate"
    except OSError as error:  # which does not name the file
        problem = f"cannot be read ({error.strerror})"
    except ValueError:  # a NUL in its name
        problem = "cannot be read"
    source = 'MAIL_OAUTH["CA_BUNDLE"]' if app_settings().ca_bundle else "The environment's REQUESTS_CA_BUNDLE"
    raise ConfigurationError(
        f"{source} is {bundle!r}, which {problem}: name a file of PEM certificates, or a folder of them."
    )


_tls_context = lru_cache(maxsize=4)(context_trusting)


class Pool:
    """Connections to every provider, kept open between calls, with one TLS context."""

    def __init__(self) -> None:
        """Read the certificates and the proxies of the environment, once."""
        settings = app_settings()
        self.ssl_context = _tls_context(certificates())
        self.proxies = {"all": settings.proxy} if settings.proxy else getproxies()
        self.ignore_no_proxy = bool(settings.proxy)
        self.timeout = Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
        self._managers: dict[str, PoolManager] = {}  # by proxy
        self._lock = threading.Lock()
        self._way = lru_cache(maxsize=1024)(self._find_way)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        patience: float | None = None,
    ) -> HttpReply:
        """Send one request, and nothing else; the peer may be silent for `patience` seconds, or `READ_TIMEOUT`.

        Raises urllib3's `HTTPError`; `ConfigurationError` for a proxy's URL.
        """
        connections, host, target = self._way(url)
        response = connections.urlopen(
            method,
            target,
            body=body,
            headers={"Host": host, **headers},
            retries=_NO_RETRY,
            redirect=False,
            assert_same_host=False,
            timeout=self.timeout
            if patience is None
            else Timeout(connect=self.timeout.connect_timeout, read=patience),
        )
        return HttpReply(status=response.status, body=response.data or b"", headers=dict(response.headers.items()))

    def proxy_of(self, url: str) -> str:
        """Return the proxy through which `url` is called, or an empty string."""
        if self.proxies and (self.ignore_no_proxy or not should_bypass_proxies(url, None)):
            return select_proxy(url, self.proxies) or ""
        return ""

    @keeps_locals_in  # the URL of a proxy may hold a password
    def _find_way(self, url: str) -> tuple[HTTPConnectionPool, str, str]:
        """Find the connections that lead to `url`, and what to ask them for: the host, and the target."""
        proxy = self.proxy_of(url)
        with self._lock:
            manager = self._managers.get(proxy) or self._managers.setdefault(proxy, self._manager(proxy))
        parts = parse_url(url)
        connections = manager.connection_from_host(parts.host, parts.port, parts.scheme)
        target = parts.url if proxy and parts.scheme == "http" else parts.request_uri  # RFC 9112 §3.2.2
        return connections, parts.netloc or "", target

    def _manager(self, proxy: str) -> PoolManager:
        options: dict[str, Any] = {"num_pools": 32, "maxsize": 64, "ssl_context": self.ssl_context}
        if proxy:
            proxy = self._checked(proxy if "://" in proxy else f"http://{proxy}")
            user, password = get_auth_from_url(proxy)
            credentials = make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
            manager: PoolManager = ProxyManager(proxy, proxy_headers=credentials, **options)
        else:
            manager = PoolManager(**options)
        manager.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}
        return manager

    def _checked(self, proxy: str) -> str:
        """Return the URL of a proxy that can be used.

        Raises `ConfigurationError`, which shows its scheme alone: to urllib3 it would be an outage of the provider.
        """
        source = 'MAIL_OAUTH["PROXY"]' if self.ignore_no_proxy else "A proxy of the environment (https_proxy, …)"
        remedy = 'Write "http://host:port", or "https://…" for a proxy that is itself spoken to over TLS.'
        try:
            parts = parse_url(proxy)
        except LocationParseError:
            raise ConfigurationError(f"{source} is no URL. {remedy}") from None
        if parts.scheme not in _PROXY_SCHEMES:
            scheme = str(parts.scheme)[:20]
            raise ConfigurationError(f"{source} has the scheme {scheme!r}, which is not supported. {remedy}")
        if not parts.host:
            raise ConfigurationError(f"{source} names no host. {remedy}")
        return proxy


_lock = threading.Lock()
_pool: Pool | None = None


def pool() -> Pool:
    """Return the process's pool, made at the first call and anew in a forked child."""
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = Pool()
    return _pool


def is_proxied(url: str) -> bool:
    """Tell whether calls of `url` go through a proxy."""
    return bool(pool().proxy_of(url))


def forget_pool(**_: Any) -> None:
    """Drop the pool: sockets must not be shared with a forked child, nor outlive changed settings."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


def _on_setting(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        forget_pool()


os.register_at_fork(after_in_child=forget_pool)
setting_changed.connect(_on_setting, dispatch_uid="mail_oauth.transport")
