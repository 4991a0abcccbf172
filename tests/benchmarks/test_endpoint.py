"""The token endpoint of the benchmarks, and the peers that are measured at it."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import requests

from benchmarks.endpoint import ACCESS_TOKEN_LENGTH
from benchmarks.peers import PEERS, peers
from benchmarks.servers import token_server


@pytest.mark.worker
def test_it_rotates_pairs_over_one_connection_and_counts_both():
    with token_server() as server, requests.Session() as session:
        session.trust_env = False  # REQUESTS_CA_BUNDLE would be asked before the next line
        session.verify = str(server.bundle)
        pairs = [session.post(server.url(0), data={"grant_type": "refresh_token"}).json() for _ in range(3)]
        assert server.stats() == {"connections": 1, "requests": 3, "faults": 0}
        authority = server.url(0).removesuffix("/token")
        discovery = session.get(f"{authority}/.well-known/openid-configuration").json()
    assert len({pair["access_token"] for pair in pairs}) == len({pair["refresh_token"] for pair in pairs}) == 3
    assert all(len(pair["access_token"]) == ACCESS_TOKEN_LENGTH for pair in pairs)
    assert discovery["token_endpoint"] == server.url(0)


def test_every_peer_is_installed_by_the_extra():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    wanted = " ".join([config["options.extras_require"]["bench"], config["options"]["install_requires"]])
    named = {re.split(r"[\[><=]", line)[0] for line in wanted.split()}
    assert set(PEERS) <= named


def test_a_peer_is_found_or_named_as_missing(monkeypatch):
    monkeypatch.setitem(PEERS, "nobody", "benchmarks.peers.nobody.Nobody")
    for name in set(PEERS) - {"nobody", "requests-oauthlib"}:
        monkeypatch.delitem(PEERS, name)
    found, missing = peers("https://127.0.0.1/0/token")
    assert (list(found), list(missing)) == (["requests-oauthlib"], ["nobody"])
