"""Redis (or Valkey) that keeps nothing on disk: a restart is a flush."""

import socket

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.programs import find_program
from tests.services.server import Server


class Redis(Server):
    accounts = ("redis", "nobody")
    driver = "redis"

    def find_programs(self) -> None:
        self.redis_server = find_program("redis-server", "valkey-server")

    def command(self) -> list[str]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [self.redis_server, *options, "--save", "", "--appendonly", "no"]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False

    def client(self) -> redis.Redis:
        """A client of redis-py's own, for a look past Django's cache; use it in a `with`."""
        return redis.Redis.from_url(
            self.url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()
