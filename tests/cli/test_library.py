"""Cards, policies, labels, pins and the judge's queue; on the store and through the admin API alike."""

import asyncio
from collections.abc import Awaitable, Callable

import yaml

from gateway.domain.pins import Pin, encode_pin
from gateway.domain.policy import POLICIES
from gateway.storage import keys
from gateway.storage.base import Store
from gateway.storage.sqlite import SqliteStore
from tests.cli.conftest import Cli
from tests.cli.test_commands import deployed
from tests.support.stores import PATIENT


def stored(cli: Cli, work: Callable[[Store], Awaitable[None]]) -> None:
    """What a worker or the judge would have done."""

    async def run() -> None:
        store = SqliteStore(cli.folder / "store", limits=PATIENT)
        await store.open()
        await work(store)
        await store.close()

    asyncio.run(run())


def test_labels_move_and_go(cli: Cli) -> None:
    deployed(cli)
    assert "has no labels" in cli("label", "list", "support-agent").out
    first = cli("label", "set", "support-agent", "staging", "1", "--json").json
    moved = cli("label", "set", "support-agent", "staging", "2", "--json").json
    assert (first["labels"], moved["labels"]) == ({"staging": 1}, {"staging": 2})
    late = cli("label", "set", "support-agent", "staging", "1", "--if-revision", str(first["revision"]))
    assert (late.code, "since then" in late.err) == (1, True)
    assert cli("label", "remove", "support-agent", "staging", "--json").json["labels"] == {}
    assert cli("label", "remove", "support-agent", "staging").code == 1
    told = cli("audit", "list", "--limit", "1", "--json").json["entries"][0]
    assert (told["action"], told["actor"]) == ("set_label", "ann")


def test_a_card_is_markdown_and_json(cli: Cli) -> None:
    deployed(cli)
    printed = cli("card", "support-agent", "2").out
    shown = cli("card", "support-agent", "2", "--json").json
    assert printed == shown["markdown"]
    assert yaml.safe_load(printed.split("---\n")[1])["prompt"] == shown["uri"]


def test_a_policy_that_is_printed_can_be_planned_with(cli: Cli) -> None:
    listed = cli("policies", "--json").json
    assert [(each["name"], each["built_in"]) for each in listed] == [(name, True) for name in POLICIES]
    mine = cli.folder / "mine.yaml"
    mine.write_text(cli("policies", "careful").out)
    local = Cli(cli.folder)
    options = ("--sessions-per-hour", "500", "--json")
    plans = [local("plan", "--policy", policy, *options).json for policy in (str(mine), "careful")]
    assert plans[0] == plans[1]


def test_a_pin_is_shown_and_cleared(cli: Cli) -> None:
    deployed(cli)
    asked = ("support-agent", "--session", "4711")
    assert "no rollout of support-agent runs" in cli("pin", "show", *asked).out
    assert cli("pin", "clear", *asked).code == 1
    rollout = cli("rollout", "start", "support-agent", "2", "--weight", "0.5", "--json").json["rollout"]["id"]
    empty = cli("pin", "show", *asked, "--json").json
    assert (empty["rollout"], empty["pin"]) == (rollout, None)

    async def pinned(store: Store) -> None:
        pin = Pin("canary", 2, 0.5, 1.0, 1.0, True, True, 1_700_000_000.0)
        await store.set_if_absent(keys.pin(rollout, empty["session"]), encode_pin(pin), 600.0)

    stored(cli, pinned)
    said = "version 2 (canary) since 2023-11-14 22:13:20Z, drawn at 0.5"
    assert cli("pin", "show", *asked).out == f"the session keeps {said}\n"
    cleared = cli("pin", "clear", *asked, "--reason", "asked to")
    assert cleared.out == f"cleared: it had {said}; its next request draws it again\n"
    assert cli("pin", "show", *asked, "--json").json["pin"] is None
    assert cli("audit", "list", "--limit", "1", "--json").json["entries"][0]["action"] == "clear_pin"


def test_what_the_judge_gave_up_can_be_tried_again(cli: Cli) -> None:
    async def buried(store: Store) -> None:
        for id in ("r1/aa", "r1/bb"):
            await store.enqueue(keys.JUDGING, id, b"?")
        await store.claim(keys.JUDGING, "judge", limit=1, lease=60.0)
        await store.bury(keys.JUDGING, "judge", "r1/aa", "no answer [red]")

    stored(cli, buried)
    shown = cli("judge", "queue")
    assert shown.out.startswith("1 wait, 0 are with a judge, 1 were given up\n")
    assert "r1/aa" in shown.out
    assert "no answer [red]" in shown.out
    again = cli("judge", "retry", "r1/aa", "--reason", "it is back", "--json").json
    assert (again["waiting"], again["dead"], again["letters"]) == (2, 0, [])
    assert cli("judge", "retry", "r1/aa").code == 1
