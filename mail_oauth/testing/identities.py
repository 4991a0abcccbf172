"""New accounts: stable identifiers derived from the address, so that a restarted demo knows people again."""

import uuid

from mail_oauth.testing.records import Account
from mail_oauth.testing.tenants import NAMESPACE, tenant_of


def new_account(
    email: str,
    *,
    name: str | None = None,
    subject: str | None = None,
    tenant: str | None = None,
    claims: dict[str, object] | None = None,
) -> Account:
    """An account; what is not given follows from ``email``."""
    local, _, domain = email.rpartition("@")
    return Account(
        email=email,
        name=name or local.replace(".", " ").title() or email,
        subject=subject or str(uuid.uuid5(NAMESPACE, f"subject:{email.lower()}")),
        tenant=tenant or tenant_of(domain),
        claims=claims or {},
    )
