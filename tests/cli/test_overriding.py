"""Overrides: a file of this machine, with the versions that it names, while the store can be asked."""

import json

import pytest

from gateway.storage import local as files
from tests.cli.conftest import Cli
from tests.cli.test_commands import deployed
from tests.support.prompts import prompt_text


def test_overrides_are_a_file_of_this_machine_and_bring_their_versions(on_store: Cli) -> None:
    deployed(on_store)
    on_store("push", on_store.write(prompt_text("three", name="other"), "other"))
    on_store("override", "support-agent=2")
    on_store("override", "other=1")
    data = on_store.folder / "data"
    assert json.loads((data / "overrides.json").read_bytes()) == {"support-agent": 2, "other": 1}
    kept = [(each.prompt, each.number) for each in files.read_override_versions(data)]
    assert kept == [("support-agent", 2), ("other", 1)]
    assert (on_store("override", "--clear", "other", "--json")).json == {"support-agent": 2}
    assert [each.prompt for each in files.read_override_versions(data)] == ["support-agent"]
    on_store("override", "support-agent=1")
    assert [each.number for each in files.read_override_versions(data)] == [1]
    assert "support-agent  1" in (on_store("override", "--list")).out


def test_what_the_store_does_not_have_is_refused(on_store: Cli) -> None:
    deployed(on_store)
    for assignment, why in (("support-agent=3", "has no version 3"), ("nobody=1", "there is no prompt")):
        result = on_store("override", assignment)
        assert (result.code, result.out, why in result.err) == (1, "", True)
    assert on_store("override", "--list", "--json").json == {}


@pytest.mark.parametrize(
    "store",
    [
        "{kind: redis, url: 'redis://127.0.0.1:9/0'}",  # nobody is there
        "{kind: sqlite, directory: /dev/null/store}",  # it cannot be used
    ],
)
def test_without_the_store_it_is_written_all_the_same(local: Cli, store: str) -> None:
    (local.folder / "gateway.yaml").write_text(
        f"upstream: {{base_url: 'http://127.0.0.1:9'}}\nstore: {store}\nsigning_keys: [{'k' * 32}]\n"
    )
    result = local.process("override", "support-agent=7", "--config", "gateway.yaml", "--json")
    assert result.json == {"support-agent": 7}
    assert result.err.startswith("note: the store cannot be asked for support-agent/7 (")
    cleared = local.process("override", "--clear", "support-agent", "--config", "gateway.yaml")
    assert (cleared.code, cleared.out, cleared.err) == (0, "no overrides\n", "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("a=1", "--list"), 2),
        (("a=0",), 1),
        (("a",), 1),
        (("No=1",), 1),
        (("--clear", "nobody"), 1),
    ],
)
def test_bad_overrides_are_refused(on_store: Cli, arguments: tuple[str, ...], code: int) -> None:
    result = on_store("override", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err
