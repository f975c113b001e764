"""What people type, as processes, on the store and through the admin API alike."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway.control.baseline import Past
from gateway.storage import codec, keys
from gateway.storage.base import Put
from gateway.storage.sqlite import SqliteStore
from tests.cli.conftest import Cli
from tests.support.prompts import described, prompt_text
from tests.support.stores import PATIENT


def deployed(cli: Cli) -> None:
    """Two versions, the first one live."""
    assert (cli("push", cli.write(prompt_text("one")))).code == 0
    assert (cli("deploy", "support-agent", "1")).code == 0
    assert (cli("push", cli.write(prompt_text("two")))).code == 0


def test_a_whole_life(cli: Cli) -> None:
    deployed(cli)
    started = (cli("rollout", "start", "support-agent", "2", "--weight", "0.1", "--json")).json
    assert started["rollout"]["announced"] == 0.1
    assert started["rollout"]["started_by"] == "ann"
    cli("rollout", "pause", "support-agent")
    cli("rollout", "resume", "support-agent")
    raised = cli("rollout", "weight", "support-agent", "0.5", "--reason", "looks [bold]good")
    assert "→ 0.5" in raised.out
    live = cli("live")
    assert re.search(r"support-agent +1 +[0-9a-f]{12} +2 +(\S+ → )?0.5 +progressing", live.out)
    back = (cli("rollout", "rollback", "support-agent", "-r", "worse", "--actor", "bob", "--json")).json
    assert (back["live"], back["rollout"]) == (1, None)
    status, versions, audit, proof = (
        cli("rollout", "status", "support-agent", "--json"),
        cli("versions", "support-agent", "--json"),
        cli("audit", "list", "--prompt", "support-agent", "--json"),
        cli("audit", "verify"),
    )
    assert [(r["phase"], r["ended_by"], r["end_reason"]) for r in status.json] == [
        ("rolled_back", "bob", "worse")
    ]
    assert [item["state"] for item in versions.json["versions"]] == ["rolled_back", "live"]
    assert [entry["action"] for entry in audit.json["entries"]] == [
        *("roll_back", "set_weight", "resume", "pause", "start"),
        *("push", "deploy", "push"),
    ]
    assert audit.json["entries"][1]["reason"] == "looks [bold]good"
    assert re.fullmatch(r"ok: 8 entries, last hash [0-9a-f]{64}\n", proof.out)


def test_people_see_tables(cli: Cli) -> None:
    assert "no prompts yet" in (cli("live")).out
    deployed(cli)
    assert "no rollout yet" in (cli("rollout", "status", "support-agent")).out
    cli("rollout", "start", "support-agent", "2", "-r", "a [red]reason")
    status, versions, audit = (
        cli("rollout", "status", "support-agent"),
        cli("versions", "support-agent"),
        cli("audit", "list", "--limit", "2"),
    )
    assert "a [red]reason" in status.out
    assert "possible now: pause, weight, promote, rollback, abort" in status.out
    assert re.search(r"2 +canary +passed \(none\) +[0-9a-f]{12} +\d{4}-\d\d-\d\d", versions.out)
    assert audit.out.rstrip().endswith("older ones: --before 3")


def test_pushing_a_folder_twice_changes_nothing(cli: Cli) -> None:
    cli.write(prompt_text("one", name="a"), "a")
    cli.write(prompt_text("one", name="b"), "b")
    first = (cli("push", str(cli.folder), "--json")).json
    again = (cli("push", str(cli.folder), "--json")).json
    assert [(item["prompt"], item["version"], item["created"]) for item in first] == [
        ("a", 1, True),
        ("b", 1, True),
    ]
    assert [item["created"] or item["metadata_changed"] for item in again] == [False, False]


def test_one_bad_file_pushes_nothing(cli: Cli) -> None:
    cli.write(prompt_text("one", name="a"), "a")
    cli.write("no front matter", "b")
    result = cli("push", str(cli.folder))
    assert result.code == 1
    assert re.match(r"error: .*b\.prompty.*\n\Z", result.err)
    assert (cli("live", "--json")).json == []


def test_refusals_are_one_line_and_exit_code_1(cli: Cli) -> None:
    deployed(cli)
    refusals = [
        (
            ("rollout", "promote", "support-agent"),
            "error: support-agent has no running rollout; the last change was ann: push\n",
        ),
        (("versions", "nobody"), "error: there is no prompt 'nobody': push a version of it first\n"),
        (
            ("deploy", "support-agent", "9", "-r", "x"),
            "error: support-agent has no version 9: it has 1 to 2\n",
        ),
        (
            ("rollout", "start", "support-agent", "2", "--weight", "2"),
            "error: a weight is a number from 0 to 1, not 2.0\n",
        ),
    ]
    for result, (_, message) in zip([cli(*arguments) for arguments, _ in refusals], refusals, strict=True):
        assert (result.code, result.out, result.err) == (1, "", message)
    as_json = cli("rollout", "promote", "support-agent", "--json")
    assert as_json.code == 1
    assert '"code":"transition_refused"' in as_json.err


def test_a_gate_and_an_emergency(cli: Cli) -> None:
    cli("push", cli.write(prompt_text(front=described(suite="evals/s.yaml"))))
    refused = cli("deploy", "support-agent", "1")
    assert (refused.code, "has not been run" in refused.err) == (1, True)
    emergency = cli("deploy", "support-agent", "1", "--emergency", "-r", "the other one is down", "--json")
    assert emergency.json["live"] == 1
    cli("push", cli.write(prompt_text("another", front=described(suite="evals/s.yaml"))))
    watched = cli("deploy", "support-agent", "2", "--emergency", "--watch", "fast", "-r", "now", "--json")
    assert (watched.json["live"], watched.json["rollout"]["watch"]) == (2, True)
    passed = cli("gate", "support-agent", "1", "passed", "--suite", "evals/s.yaml", "--json")
    assert passed.json["gate"]["state"] == "passed"


def test_a_revision_that_moved_is_refused(cli: Cli) -> None:
    deployed(cli)
    (view,) = (cli("live", "--json")).json
    seen = str(view["revision"])
    assert (cli("rollout", "start", "support-agent", "2", "--if-revision", seen)).code == 0
    late = cli("rollout", "promote", "support-agent", "--if-revision", seen)
    assert (late.code, "since then ann: start" in late.err) == (1, True)


def test_names_are_not_limited_to_ascii_for_actors(cli: Cli) -> None:
    cli("push", cli.write(prompt_text()), "--actor", "Zoë 🐤")
    assert (cli("audit", "list", "--json")).json["entries"][0]["actor"] == "Zoë 🐤"


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("push",),
        ("rollout",),
        ("rollout", "rollback"),
        ("rollout", "start"),
        ("deploy",),
        ("audit", "verify"),
        ("config", "check"),
        ("override",),
        ("serve",),
    ],
)
def test_help_comes_with_an_example(local: Cli, command: tuple[str, ...]) -> None:
    result = local(*command, "--help")
    assert result.code == 0
    assert ("Example: prompt-canary" in result.out) or command in ((), ("rollout",))


def test_a_way_back_as_processes(cli: Cli) -> None:
    """What counts in an incident, with nothing of the gateway up but the store, or only its admin API."""
    deployed(cli)
    cli("rollout", "start", "support-agent", "2")
    back = cli.process("rollout", "rollback", "support-agent", "--reason", "worse")
    assert (back.code, back.err) == (0, "")
    assert back.out.startswith("support-agent/1 is live; no rollout runs (revision ")
    again = cli.process("rollout", "rollback", "support-agent")
    assert (again.code, again.out) == (1, "")
    assert again.err == (
        "error: support-agent has no running rollout; the last change was ann: roll_back (worse)\n"
    )


async def _quiet(folder: Path, sessions_per_hour: float) -> None:
    """The prompt's last rollout saw so much traffic."""
    store = SqliteStore(folder / "store", limits=PATIENT)
    await store.open()
    past = Past(1, (await store.tick()).now, sessions_per_hour=sessions_per_hour)
    await store.commit([Put(keys.past("support-agent"), codec.encode(past), None)])
    await store.close()


def test_a_policy_that_the_traffic_cannot_decide_is_warned_of(cli: Cli) -> None:
    deployed(cli)
    asyncio.run(_quiet(cli.folder, 50.0))
    says = "warning: at 50 sessions/h a decision takes 38.3 h; the maximum bake of standard is 24 h"
    started, shown = (
        cli("rollout", "start", "support-agent", "2"),
        cli("rollout", "status", "support-agent"),
    )
    assert (started.code, shown.code) == (0, 0)
    for result in (started, shown):
        assert says in result.out
        assert "0.0632 could be decided" in result.out
    warnings = (cli("rollout", "status", "support-agent", "--json")).json[0]["warnings"]
    assert f"warning: {warnings[0]}" == says
