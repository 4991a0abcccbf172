"""Real servers for tests: each is started on a loopback port of its own and removed with its files."""

from tests.services.dovecot import Dovecot
from tests.services.mariadb import MariaDB
from tests.services.postgres import Postgres
from tests.services.programs import find_program, require
from tests.services.redis import Redis, RedisCluster
from tests.services.server import Server, free_port

__all__ = [
    "Dovecot",
    "MariaDB",
    "Postgres",
    "Redis",
    "RedisCluster",
    "Server",
    "find_program",
    "free_port",
    "require",
]
