"""How many cases are tried, and how they are counted.

The plain suite tries some hundreds, always the same; MAIL_OAUTH_FUZZ=tenth ten thousand, always the same;
MAIL_OAUTH_FUZZ=full a hundred thousand (MAIL_OAUTH_FUZZ_CASES), others each time: `--hypothesis-seed` repeats a run.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

MODE = os.environ.get("MAIL_OAUTH_FUZZ", "")
WHOLE = int(os.environ.get("MAIL_OAUTH_FUZZ_CASES", "100000"))
NUMBER = {"full": WHOLE, "tenth": WHOLE // 10}.get(MODE, 500)

SHARES = {
    "callback": 0.20,
    "verdicts": 0.33,
    "rows": 0.03,
    "id_tokens": 0.16,
    "documents": 0.08,
    "wire": 0.05,
    "addresses": 0.15,
}
"""Of all cases, by target."""

assert abs(sum(SHARES.values()) - 1) < 1e-9

tried: Counter[str] = Counter()
"""How many cases each target was tried with; those that shrink a finding are not among them."""

outcomes: dict[str, Counter[str]] = {target: Counter() for target in SHARES}
"""What became of them: a target that is always refused at the same door is fuzzed in vain."""


def fuzz(target: str, cases: SearchStrategy[Any], run: Callable[[Any], str]) -> None:
    """Try a target with its share of cases; `run` raises what is wrong with one, and returns what became of it."""

    @settings(
        max_examples=max(round(NUMBER * SHARES[target]), 1),
        derandomize=MODE != "full",
        database=None,
        deadline=None,
        print_blob=MODE == "full",
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(cases)
    def every(case: Any) -> None:
        tried[target] += 1
        outcomes[target][run(case)] += 1

    every()


def corpus(target: str) -> list[dict[str, Any]]:
    """The cases that are tried always, each named by what it once broke or what it stands for."""
    found: list[dict[str, Any]] = json.loads((Path(__file__).parent / "corpus" / f"{target}.json").read_text())
    assert len({case["name"] for case in found}) == len(found)
    return found


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes of a case: of its text, repeated where it would be long, or in base64."""
    if "base64" in case:
        return base64.b64decode(case["base64"])
    text = case.get("body", "")
    parts = (
        [part[0] * part[1] if isinstance(part, list) else part for part in text]
        if isinstance(text, list)
        else [text]
    )
    return "".join(parts).encode(case.get("encoding", "utf-8"))
