"""A cache of which every command fails."""

from typing import Any

from django.core.cache.backends.base import BaseCache


class BrokenCache(BaseCache):
    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def __getattribute__(self, name: str) -> Any:
        if name in {"get", "set", "delete", "get_many"}:
            raise ConnectionError("broken")
        return super().__getattribute__(name)
