"""Commands that concern this machine: serve, check a configuration, override the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gateway import supervisor
from gateway.cli import output
from gateway.cli.reference import reference
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, exit_on_error, print_value
from gateway.domain.names import check_name
from gateway.errors import ConfigError, InvalidValue
from gateway.settings import Settings
from gateway.storage.local import read_overrides, write_overrides
from gateway.supervisor import Role, read_settings

OVERRIDE = re.compile(r"(?P<prompt>[^=]+)=(?P<version>[1-9]\d{0,8})\Z", re.ASCII)

config_app = typer.Typer(help="Configuration files.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary serve --config config/quickstart.yaml")(serve)
    app.command(epilog="Example: prompt-canary override support-agent=2")(override)
    app.add_typer(config_app, name="config")


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    role: Annotated[Role, typer.Option(help="Which processes run on this machine.")] = "all",
) -> None:
    """Run the gateway: workers, admin API. SIGTERM drains, SIGHUP re-reads the configuration."""
    with exit_on_error():
        supervisor.run(read_settings(config), config, role)


@config_app.command("check", epilog="Example: prompt-canary config check config/gateway.yaml")
def check(
    file: Annotated[
        Path, typer.Argument(envvar="PROMPT_CANARY_CONFIG", help="Configuration file.")
    ] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read a configuration as `serve` would. Errors name the field, the value and what is allowed."""
    with exit_on_error(as_json):
        settings = read_settings(file)
        facts = {
            "file": str(file),
            "store": settings.store.kind,
            "upstreams": [upstream.base_url for upstream in settings.providers],
            "workers": settings.workers,
            "listen": f"{settings.listen.host}:{settings.listen.port}",
            "admin": f"{settings.admin.host}:{settings.admin.port}",
        }
        print_value(facts, lambda _: Text(f"{file}: valid"), as_json)


@config_app.command("reference", epilog="Example: prompt-canary config reference > docs/configuration.md")
def print_reference(as_json: JsonOption = False) -> None:
    """Print docs/configuration.md: every field, its default and what is allowed; with --json the JSON Schema,
    for editors."""
    print_value(Settings.model_json_schema() if as_json else None, lambda _: reference(), as_json)


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
        directory = Path(read_settings(config).data_directory)
        overrides = read_overrides(directory)
        if assignment is not None:
            prompt, version = _parse(assignment)
            overrides[prompt] = version
        elif clear is not None and overrides.pop(clear, None) is None:
            raise InvalidValue(f"{clear} is not overridden on this machine", param="prompt")
        if not list_all:
            _write(directory, overrides)
        print_value(overrides, output.overrides, as_json)


def _parse(assignment: str) -> tuple[str, int]:
    match = OVERRIDE.match(assignment)
    if match is None:
        raise InvalidValue(f"an override is PROMPT=VERSION, such as support-agent=2, not {assignment!r}")
    return check_name(match["prompt"], "prompt"), int(match["version"])


def _write(directory: Path, overrides: dict[str, int]) -> None:
    try:
        write_overrides(directory, overrides)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be written: {error.strerror}") from error
