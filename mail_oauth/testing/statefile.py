"""A JSON file that lets a restarted demo provider honour the grants of the one before.

It holds digests of tokens only: nobody who reads it can spend them.
"""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mail_oauth.testing.records import AccessToken, Account, Family, RefreshToken
from mail_oauth.testing.store import Store

VERSION = 1


def save(store: Store, path: Path) -> None:
    """Write the store to ``path``, whole or not at all."""
    with store.lock:
        state = {
            "version": VERSION,
            "accounts": [{**asdict(each), "claims": dict(each.claims)} for each in store.accounts.values()],
            "families": [{**asdict(each), "newest": None} for each in store.families.values()],
            "refresh_tokens": {key: asdict(each) for key, each in store.refresh_tokens.items()},
            "access_tokens": {key: asdict(each) for key, each in store.access_tokens.items()},
            "consents": sorted(store.consents),
        }
    # A temporary file beside it and one rename: a killed demo leaves the old state or the new one.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        json.dump(state, file)
    Path(name).replace(path)


def _with_scopes(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "scopes": tuple(record["scopes"])}


def load(store: Store, path: Path) -> None:
    """Fill the store from ``path``, if that file is there.

    Raises `ValueError` when it is no state file of this version.
    """
    if not path.exists():
        return
    state = json.loads(path.read_text())
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise ValueError(f"{path} is no state file of the fake provider; delete it or name another one.")
    with store.lock:
        for account in state["accounts"]:
            store.put_account(Account(**account))
        for family in state["families"]:
            store.put_family(Family(**_with_scopes(family)))
        store.refresh_tokens |= {key: RefreshToken(**each) for key, each in state["refresh_tokens"].items()}
        store.access_tokens |= {
            key: AccessToken(**_with_scopes(each)) for key, each in state["access_tokens"].items()
        }
        store.consents |= {(personality, client, subject) for personality, client, subject in state["consents"]}
