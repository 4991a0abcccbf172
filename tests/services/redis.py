"""Redis (or Valkey) that keeps nothing on disk: a restart is a flush."""

import socket
import time
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.programs import find_program
from tests.services.server import START_SECONDS, Server, free_port


class Redis(Server):
    accounts = ("redis", "nobody")
    driver = "redis"

    def find_programs(self) -> None:
        self.redis_server = find_program("redis-server", "valkey-server")

    def command(self) -> list[str]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [self.redis_server, *options, "--save", "", "--appendonly", "no", *self.more_options()]

    def more_options(self) -> list[str]:
        return []

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


class ClusterNode(Redis):
    def more_options(self) -> list[str]:
        # By default the nodes' own port is ten thousand higher, where there may be none.
        return [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(free_port()),
            "--cluster-config-file",
            "nodes.conf",
        ]


class RedisCluster:
    """Three nodes, which share the slots between them: keys that a command names rarely lie on one of them."""

    SLOTS = 16384

    def __init__(self) -> None:
        self.nodes = [ClusterNode() for _ in range(3)]

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def __enter__(self) -> Self:
        try:
            for number, node in enumerate(self.nodes):
                node.start()
                first, end = (self.SLOTS * each // len(self.nodes) for each in (number, number + 1))
                self._tell(node, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            for node in self.nodes[1:]:
                bus = self._tell(node, "CONFIG GET", "cluster-port")
                port = bus["cluster-port"] if isinstance(bus, dict) else bus[1]
                self._tell(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, port)
            self._wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            node.remove()

    def _wait_until_whole(self) -> None:
        """Wait until each node knows that each slot has its node."""
        deadline = time.monotonic() + START_SECONDS
        while not all(self._is_whole(node) for node in self.nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("The cluster did not come together.")
            time.sleep(0.05)

    def _is_whole(self, node: Redis) -> bool:
        info = self._tell(node, "CLUSTER INFO")
        return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(len(self.nodes)))

    def _tell(self, node: Redis, *command: Any) -> Any:
        with node.client() as client:
            return client.execute_command(*command)
