"""The machine and the versions that figures come from."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import redis
from cryptography.fernet import Fernet
from django.db import connection

from benchmarks.servers import DURABLE
from benchmarks.timing import take_turns

LIBRARIES = (
    *("Django", "psycopg", "redis", "hiredis", "django-redis", "cryptography", "urllib3", "httptools"),
    *("requests", "requests-oauthlib", "oauthlib", "django-allauth", "social-auth-app-django", "social-auth-core"),
    *("Authlib", "msal"),
)


def facts(client: redis.Redis) -> list[tuple[str, str]]:
    """Return what figures depend on."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = str(cursor.fetchone()[0])
        chosen = []
        for name in DURABLE:
            cursor.execute(f"SHOW {name}")
            chosen.append(f"{name} {cursor.fetchone()[0]}")
    encrypt, decrypt = fernet_yardstick()
    return [
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        (
            "system",
            f"{platform.system()} {platform.release().split('-')[0]}, load {os.getloadavg()[0]:.1f} before",
        ),
        ("Python", f"{platform.python_version()}, {platform.python_implementation()}"),
        ("PostgreSQL", f"{postgres.split(maxsplit=1)[0]} over loopback; {', '.join(chosen)}"),
        ("Redis", f"{client.info('server')['redis_version']} over loopback, nothing kept on disk"),
        ("Fernet, 1.8 KB", f"encrypt {encrypt * 1e6:.1f} µs, decrypt {decrypt * 1e6:.1f} µs"),
        ("libraries", ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version(name)))),
    ]


def fernet_yardstick() -> tuple[float, float]:
    """Return what Fernet takes to encrypt and to decrypt 1.8 KB here, in seconds: a yardstick for other machines."""
    fernet, plain = Fernet(Fernet.generate_key()), b"x" * 1800
    sealed = fernet.encrypt(plain)
    work = {"encrypt": lambda: fernet.encrypt(plain), "decrypt": lambda: fernet.decrypt(sealed)}
    measured = take_turns(work, rounds=9)
    return measured["encrypt"].wall, measured["decrypt"].wall


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
