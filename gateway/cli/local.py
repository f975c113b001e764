"""Commands that concern this machine: serve, and what its configuration may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gateway import supervisor
from gateway.cli.reference import reference
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, exit_on_error, print_value
from gateway.settings import Settings
from gateway.supervisor import Role, read_settings

config_app = typer.Typer(help="Configuration files.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary serve --config config/quickstart.yaml")(serve)
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
