"""What all commands share: where the prompts are, who asks, how the answer is printed, the exit code.

A command is an async function from a `Session` and its own options to a value. `operation` adds the shared
options to its signature, which is what typer makes the options of, runs it and prints the value.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import RenderableType

from gateway.cli import output
from gateway.cli.api import AdminApi
from gateway.cli.remote import RemoteAdministration, RemoteOperations
from gateway.cli.remote_assessing import RemoteAssessing
from gateway.cli.remote_library import RemoteJudgments, RemoteLibrary
from gateway.control.administration import Administration, StoreAdministration, own_of
from gateway.control.assessing import Assessing, StoreAssessing
from gateway.control.judging.queue import Judgments, StoreJudgments
from gateway.control.library import Library, StoreLibrary
from gateway.control.operations import Operations, StoreOperations
from gateway.control.plan import By
from gateway.errors import ConfigError, GatewayError, Unavailable
from gateway.settings import Settings, policies_of
from gateway.storage import local
from gateway.storage.create import store_of
from gateway.supervisor import read_settings

REFUSED, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
DEFAULT_CONFIG = Path("config/quickstart.yaml")

ConfigOption = Annotated[
    Path, typer.Option(envvar="PROMPT_CANARY_CONFIG", help="Configuration that names the store.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UrlOption = Annotated[
    str | None,
    typer.Option(envvar="PROMPT_CANARY_URL", help="Go through this admin API instead of the store."),
]
TokenOption = Annotated[
    str | None,
    typer.Option(envvar="PROMPT_CANARY_TOKEN", help="Token for the admin API (see `token create`)."),
]
ActorOption = Annotated[
    str, typer.Option(envvar=["PROMPT_CANARY_ACTOR", "USER"], help="Who asks, for the audit log.")
]

ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")]
RevisionOption = Annotated[
    int | None, typer.Option(help="Refuse if the prompt was changed since this revision (see `live --json`).")
]


@dataclass(frozen=True, slots=True)
class Session:
    operations: Operations
    administration: Administration
    assessing: Assessing
    library: Library
    judgments: Judgments
    actor: str

    def by(self, reason: str) -> By:
        return By(self.actor, reason)


Command = Callable[..., Awaitable[Any]]
Show = Callable[[Any], RenderableType]
Follow = Callable[..., AsyncIterator[Any]]
Display = Callable[[bool], AbstractContextManager[Callable[[Any], None]]]  # of whether JSON is wanted


def operation(show: Show, *, failed: Callable[[Any], bool] = lambda value: False) -> Callable[[Command], Any]:
    """Make a command of an async function whose first parameter is the `Session`. `failed` values are
    printed too, with exit code 1."""

    def decorate(function: Command) -> Callable[..., None]:
        def body(shared: dict[str, Any], options: dict[str, Any]) -> None:
            value = asyncio.run(_run(function, shared, options))
            print_value(value, show, shared["as_json"])
            if failed(value):
                raise typer.Exit(REFUSED)

        return _command(function, body)

    return decorate


def following(display: Display, *, failed: Callable[[Any], bool]) -> Callable[[Follow], Any]:
    """Make a command of an async generator: each value is shown as it comes. Exit code 1 if the last one has
    `failed`, 130 if the person at the terminal ends it."""

    def decorate(function: Follow) -> Callable[..., None]:
        def body(shared: dict[str, Any], options: dict[str, Any]) -> None:
            try:
                value = asyncio.run(_follow(function, shared, options, display))
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None
            if failed(value):
                raise typer.Exit(REFUSED)

        return _command(function, body)

    return decorate


def _command(
    function: Callable[..., Any], body: Callable[[dict[str, Any], dict[str, Any]], None]
) -> Callable[..., None]:
    """With the function's own options and the shared ones, which is what typer makes options of."""

    def command(**options: Any) -> None:
        shared = {name: options.pop(name) for name in _SHARED}
        with exit_on_error(shared["as_json"]):
            body(shared, options)

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*own, *_SHARED.values())]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return command


def print_value(value: Any, show: Show, as_json: bool) -> None:
    """A `show` that gives a plain `str` has it printed as it is, for other programs and for files."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
        return
    shown = show(value)
    if isinstance(shown, str):
        typer.echo(shown, nl=False)
    else:
        output.console().print(shown)


@contextmanager
def exit_on_error(as_json: bool = False) -> Iterator[None]:
    """The one place where an error becomes an exit code: one line on stderr, or a JSON object."""
    try:
        yield
    except GatewayError as error:
        if as_json:
            details = {"code": error.code, "message": error.message, "param": error.param}
            typer.echo(msgspec.json.encode({"error": details}), err=True)
        else:
            typer.echo("error: " + "; ".join(error.message.splitlines()), err=True)
        code = UNAVAILABLE if isinstance(error, Unavailable) else REFUSED
        raise typer.Exit(USAGE if isinstance(error, ConfigError) else code) from error


@asynccontextmanager
async def opened(shared: Mapping[str, Any]) -> AsyncIterator[Session]:
    """Of the options that all commands share."""
    actor = shared["actor"]
    if shared["url"] is not None:
        api = AdminApi(shared["url"], shared["token"])
        yield Session(
            RemoteOperations(api),
            RemoteAdministration(api),
            RemoteAssessing(api),
            RemoteLibrary(api),
            RemoteJudgments(api),
            actor,
        )
        return
    settings = read_settings(shared["config"])
    store = store_of(settings, patient=True)
    await store.open()
    try:
        policies, signing_keys = policies_of(settings), signing_keys_of(settings)
        yield Session(
            StoreOperations(store, policies, settings.evidence.changes()),
            StoreAdministration(store, own_of(settings, signing_keys)),
            StoreAssessing(store),
            StoreLibrary(store, policies, signing_keys),
            StoreJudgments(store),
            actor,
        )
    finally:
        await store.close()


def signing_keys_of(settings: Settings) -> tuple[str, ...]:
    """The configuration's, or this machine's own if it has one: a command makes none."""
    directory = Path(settings.data_directory)
    if settings.signing_keys or not (directory / local.SIGNING_KEY).exists():
        return settings.signing_keys
    return (local.signing_key(directory),)


async def _run(function: Command, shared: dict[str, Any], options: dict[str, Any]) -> Any:
    async with opened(shared) as session:
        return await function(session, **options)


async def _follow(function: Follow, shared: dict[str, Any], options: dict[str, Any], display: Display) -> Any:
    value = None
    async with opened(shared) as session:
        with display(shared["as_json"]) as show:
            async for value in function(session, **options):
                show(value)
    return value


def _shared_options(
    config: ConfigOption = DEFAULT_CONFIG,
    url: UrlOption = None,
    token: TokenOption = None,
    actor: ActorOption = "unknown",
    as_json: JsonOption = False,
) -> None:
    """Only its signature counts."""


_SHARED = dict(inspect.signature(_shared_options, eval_str=True).parameters)
