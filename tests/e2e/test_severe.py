"""Severe flags on real processes: a candidate that gives secrets away is rolled back once confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gateway import running
from tests.support.judged import build, load_on, start, until

SCENARIO = """\
default: {first_token_ms: 2, gap_ms: 0, tokens: 10, quality: 0.9, quality_spread: 0}
rules:
  - {name: leaking, contains: leaking greeter, behaviour: {opening: "Your key is AKIAIOSFODNN7EXAMPLE. "}}
judge:
  noise: 0
  behaviour: {first_token_ms: 2, gap_ms: 0}
"""


@pytest.mark.timeout(200)
async def test_confirmed_secrets_of_the_canary_roll_it_back_and_become_cases(tmp_path: Path) -> None:
    with running(build(tmp_path, scenario=SCENARIO)) as gateway:
        async with load_on(gateway, clients=1):
            start(gateway, "leaking")
            ended = await until(gateway, lambda rollout: rollout["phase"] == "rolled_back")
        assert ended["ended_by"] == "controller"
        assert "canary sessions had a severe flag that was confirmed (secret)" in ended["end_reason"]
        cases = gateway.call("/v1/prompts/greeter/cases")["cases"]
        assert len(cases) >= 3
        assert all("secret" in case["flags"] for case in cases)
        shown = gateway.call(f"/v1/prompts/greeter/cases/{cases[0]['id']}")
        assert "AKIA" not in shown["answer"]
        assert "[secret]" in shown["answer"]
