"""docs/cli.md names every command and every shared option."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if not children:
        yield " ".join(path)
        return
    for name, child in children.items():
        yield from commands(child, (*path, name))


@pytest.mark.parametrize("command", sorted(commands(get_command(app))))
def test_the_page_names_every_command(command: str) -> None:
    assert f"`{command} " in PAGE or f"`{command}`" in PAGE


@pytest.mark.parametrize(
    "option", ["--config", "--url", "--token", "--actor", "--json", "--reason", "--if-revision"]
)
def test_the_page_explains_shared_options(option: str) -> None:
    assert f"`{option}" in PAGE
