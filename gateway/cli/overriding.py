"""`override`: a version on this machine whatever the store says, also while it says nothing.

The override is a file that workers read once a second. The version itself is kept beside it if the store can
be asked for it, so that workers can serve it once the store is down, though none of them has loaded it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, exit_on_error, print_value
from gateway.control.registry import Registry
from gateway.domain.names import check_name
from gateway.domain.prompt import Version
from gateway.errors import ConfigError, InvalidValue, Unavailable
from gateway.settings import Settings
from gateway.storage import local
from gateway.storage.create import store_of
from gateway.supervisor import read_settings

OVERRIDE = re.compile(r"(?P<prompt>[^=]+)=(?P<version>[1-9]\d{0,8})\Z", re.ASCII)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary override support-agent=2")(override)


def override(
    assignment: Annotated[
        str | None, typer.Argument(metavar="PROMPT=VERSION", help="Serve this version here, whatever runs.")
    ] = None,
    clear: Annotated[
        str | None, typer.Option("--clear", metavar="PROMPT", help="Follow the store again.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Show what is overridden.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pin a prompt to a version on this machine only, also while the store is down."""
    if (assignment is not None) + (clear is not None) + list_all != 1:
        raise typer.BadParameter("give PROMPT=VERSION, or --clear PROMPT, or --list")
    with exit_on_error(as_json):
        settings = read_settings(config)
        directory = Path(settings.data_directory)
        overrides = local.read_overrides(directory)
        known = local.read_override_versions(directory)
        if assignment is not None:
            prompt, number = _parse(assignment)
            overrides[prompt] = number
            known += _asked(settings, prompt, number)
        elif clear is not None and overrides.pop(clear, None) is None:
            raise InvalidValue(f"{clear} is not overridden on this machine", param="prompt")
        if not list_all:
            _write(directory, overrides, known)
        print_value(overrides, output.overrides, as_json)


def _parse(assignment: str) -> tuple[str, int]:
    match = OVERRIDE.match(assignment)
    if match is None:
        raise InvalidValue(f"an override is PROMPT=VERSION, such as support-agent=2, not {assignment!r}")
    return check_name(match["prompt"], "prompt"), int(match["version"])


def _asked(settings: Settings, prompt: str, number: int) -> list[Version]:
    """The version, or nothing while the store cannot be used, which is said. Raises `PromptNotFound` or
    `VersionNotFound`: no worker could serve it."""
    try:
        return [asyncio.run(_version(settings, prompt, number))]
    except (Unavailable, ConfigError) as error:
        note = "workers serve it if one has loaded it, or it is in the snapshot on disk"
        typer.echo(
            f"note: the store cannot be asked for {prompt}/{number} ({error.message}): {note}", err=True
        )
        return []


async def _version(settings: Settings, prompt: str, number: int) -> Version:
    store = store_of(settings)
    try:
        await store.open()
        return await Registry(store).version(prompt, number)
    finally:
        await store.close()


def _write(directory: Path, overrides: dict[str, int], known: list[Version]) -> None:
    """The versions first: who reads the overrides finds them."""
    kept = {each.prompt: each for each in known if overrides.get(each.prompt) == each.number}
    try:
        local.write_override_versions(directory, list(kept.values()))
        local.write_overrides(directory, overrides)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be written: {error.strerror}") from error
