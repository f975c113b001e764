"""Every command is complete: an example in its help that can be typed, `--json`, `--url` where there is a
store, a golden output (test_golden.py), and its place in docs/cli.md, with shared options and exit codes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import app, session
from tests.cli.conftest import Cli

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
EXAMPLE = re.compile(r"Example: (.*)", re.DOTALL)
# They print a program's text, or run until they are stopped; and those that ask no store.
WITHOUT_JSON = {"serve", "completion"}
OF_THIS_MACHINE = {
    *("serve", "demo", "doctor", "completion", "config check", "config reference", "override"),
    *("plan", "simulate", "eval", "suite check", "suite import", "judge calibrate"),
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    return (" ".join(name) for name, _ in leaves(command, path))


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


TREE = sorted(leaves(get_command(app)))
EACH = pytest.mark.parametrize(("path", "command"), TREE, ids=[" ".join(path) for path, _ in TREE])


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_the_tree_is_not_empty() -> None:
    assert len(TREE) > 30


@EACH
def test_the_page_names_every_command(path: tuple[str, ...], command: Any) -> None:
    name = " ".join(path)
    assert f"`{name} " in PAGE or f"`{name}`" in PAGE


@EACH
def test_its_help_says_what_it_does_with_an_example_that_can_be_typed(
    path: tuple[str, ...], command: Any
) -> None:
    assert command.help.endswith(".")
    found = EXAMPLE.match(command.epilog or "")
    assert found, "its help has no example"
    words = shlex.split(found[1].removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0])
    assert words[: 1 + len(path)] == ["prompt-canary", *path]
    command.make_context(" ".join(path), words[1 + len(path) :])  # refuses what the command does not take


@EACH
def test_it_prints_json_and_works_from_afar(path: tuple[str, ...], command: Any) -> None:
    name, taken = " ".join(path), options(command)
    assert ("--json" in taken) == (name not in WITHOUT_JSON)
    assert ({"--url", "--token"} <= taken) == (name not in OF_THIS_MACHINE)


def test_help_shows_the_example(local: Cli) -> None:
    result = local("rollout", "rollback", "--help")
    assert result.code == 0
    assert 'Example: prompt-canary rollout rollback support-agent --reason "' in result.out


@pytest.mark.parametrize(
    "option", ["--config", "--url", "--token", "--actor", "--json", "--reason", "--if-revision"]
)
def test_the_page_explains_shared_options(option: str) -> None:
    assert f"`{option}" in PAGE


def exit_codes() -> set[int]:
    table = PAGE[PAGE.index("## Exit codes") :]
    return {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


def test_the_page_has_every_exit_code_and_no_other() -> None:
    assert exit_codes() == {0, session.REFUSED, session.USAGE, session.UNAVAILABLE, session.INTERRUPTED}
    golden = "".join(path.read_text() for path in (Path(__file__).parent / "golden").glob("*.txt"))
    seen = {int(code) for code in re.findall(r"^\[exit (\d+)\]$", golden, re.MULTILINE)}
    assert seen == exit_codes() - {0, session.INTERRUPTED}  # an interruption is in test_watching.py


def test_the_help_names_the_exit_codes(local: Cli) -> None:
    assert all(f"{code} " in local("--help").out.partition("Exit codes:")[2] for code in exit_codes())
