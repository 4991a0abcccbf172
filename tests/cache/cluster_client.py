"""A client of django-redis for a Redis Cluster, as a site may name it in CLIENT_CLASS: django-redis has none itself."""

from __future__ import annotations

from typing import Any

import redis
from django_redis.client import DefaultClient


class ClusterClient(DefaultClient):
    def connect(self, index: int = 0) -> Any:
        return redis.RedisCluster.from_url(self._server[index], socket_timeout=2, socket_connect_timeout=2)
