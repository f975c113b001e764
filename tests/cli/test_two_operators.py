"""Two people, two terminals, one rollout: one wins, the other hears by whom and how it was changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.cli.conftest import Cli
from tests.cli.test_commands import deployed

CHANGES = (("promote", "mine: it is good"), ("abort", "mine: it is not"))


def started(cli: Cli) -> int:
    deployed(cli)
    revision = cli("rollout", "start", "support-agent", "2", "--weight", "0.1", "--json").json["revision"]
    assert isinstance(revision, int)
    return revision


def test_two_processes_that_end_one_rollout(cli: Cli) -> None:
    started(cli)
    with ThreadPoolExecutor(2) as terminals:
        results = list(
            terminals.map(
                lambda change: cli.process("rollout", change[0], "support-agent", "--reason", change[1]),
                CHANGES,
            )
        )
    assert sorted(result.code for result in results) == [0, 1]
    (won, why), loser = (CHANGES[0], results[1]) if results[0].code == 0 else (CHANGES[1], results[0])
    assert f"ann: {won} ({why})" in loser.err
    assert len(loser.err.splitlines()) == 1


def test_two_processes_that_saw_the_same_revision(cli: Cli) -> None:
    revision = str(started(cli))
    weights = ("0.2", "0.4")
    with ThreadPoolExecutor(2) as terminals:
        results = list(
            terminals.map(
                lambda weight: cli.process(
                    *("rollout", "weight", "support-agent", weight),
                    *("--if-revision", revision, "--reason", f"to {weight}"),
                ),
                weights,
            )
        )
    assert sorted(result.code for result in results) == [0, 1]
    won, loser = (weights[0], results[1]) if results[0].code == 0 else (weights[1], results[0])
    assert f"since then ann: set_weight (to {won})" in loser.err
    after = cli("rollout", "status", "support-agent", "--json").json
    assert [weight["value"] for weight in after[0]["weights"]] == [0.1, float(won)]
