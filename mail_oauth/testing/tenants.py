"""Microsoft's tenants: what the first segment of a path means (`v2-protocols.md`)."""

import re
import uuid
from typing import Final

NAMESPACE: Final = uuid.UUID("6f1d3c52-0f0e-4c55-9d3c-7f1f5f7f0a01")
# The tenant of all personal accounts, documented as such.
CONSUMERS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
CONSUMER_DOMAINS: Final = frozenset({"outlook.com", "hotmail.com", "live.com", "msn.com"})
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def tenant_of(domain: str) -> str:
    """The tenant id of a domain, always the same."""
    if domain.lower() in CONSUMER_DOMAINS:
        return CONSUMERS
    return str(uuid.uuid5(NAMESPACE, f"tenant:{domain.lower()}"))


def tenant_id(segment: str) -> str | None:
    """The tenant that a path names by keyword, id or domain; ``None`` for those that name none."""
    if segment in {"common", "organizations"}:
        return None
    if segment == "consumers":
        return CONSUMERS
    return segment.lower() if _GUID.fullmatch(segment.lower()) else tenant_of(segment)


def admits(segment: str, tenant: str) -> bool:
    """Whether somebody of ``tenant`` can sign in at the path that begins with ``segment``."""
    if segment == "organizations":
        return tenant != CONSUMERS
    wanted = tenant_id(segment)
    return wanted is None or wanted == tenant
