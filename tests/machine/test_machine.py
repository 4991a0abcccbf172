"""Whatever happens, in whatever order, no refresh token is lost: hypothesis looks for an order that does it.

A run takes the same short walks each time, the plain suite few and `make test` some more of them;
MAIL_OAUTH_FUZZ=full takes long ones at random, for MAIL_OAUTH_FUZZ_EXAMPLES examples on each cache.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.rules import Machine
from tests.machine.world import World

FULL = os.environ.get("MAIL_OAUTH_FUZZ") == "full"
EXAMPLES = int(os.environ.get("MAIL_OAUTH_FUZZ_EXAMPLES", "500"))

SETTINGS = settings(
    max_examples=EXAMPLES if FULL else settings.default.max_examples // 6,
    stateful_step_count=40 if FULL else 25,
    derandomize=not FULL,
    database=None,
    deadline=None,  # a step may be a whole sweep, over HTTP
    print_blob=FULL,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[
        HealthCheck.too_slow,  # the same: each step talks to a server and a database
        HealthCheck.filter_too_much,  # most rules need a mailbox, and some a worker, to be there
        HealthCheck.data_too_large,  # long walks are the point
    ],
)

CACHES = [
    pytest.param("locmem_cache", id="locmem"),
    pytest.param("redis_cache", id="redis", marks=pytest.mark.redis),
]


@pytest.mark.hypothesis
@pytest.mark.timeout(0 if FULL else 120)
@pytest.mark.parametrize("kind", CACHES)
def test_nothing_is_lost_in_any_order(world: World, kind: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(kind)
    walk = type("Walk", (Machine,), {"world": world})
    run_state_machine_as_test(walk, settings=SETTINGS)
    print(f"{world.examples} examples, {world.steps} steps")
