"""Commands on the pin of one session: which version it keeps, and letting go of it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from gateway.cli import output
from gateway.cli.prompts import PromptArgument
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.explain import KEY_KINDS, Place
from gateway.control.sessions import PinView
from gateway.errors import InvalidValue

app = typer.Typer(help="The version that a session keeps while a rollout runs.", no_args_is_help=True)

KeyOption = Annotated[
    str, typer.Option("--session", help="The session's key, as the client sends it.", show_default=False)
]
KindOption = Annotated[str, typer.Option(help=f"What carries the key: {', '.join(KEY_KINDS)}.")]
ClientOption = Annotated[str, typer.Option(help="Id of the client's key, where clients have our keys.")]


def place(prompt: str, key: str, kind: str, client: str) -> Place:
    if kind not in KEY_KINDS:
        raise InvalidValue(f"--kind is one of {', '.join(KEY_KINDS)}, not {kind!r}", param="kind")
    return Place(prompt, key, kind, client)


def _pin(view: PinView) -> RenderableType:
    if view.rollout is None:
        return Text(f"no rollout of {view.prompt} runs: there are no pins")
    if view.pin is None:
        return Text(f"the session has no pin in rollout {view.rollout}")
    pin = view.pin
    said = f"version {pin.version} ({pin.arm}) since {output.when(pin.pinned_at)}, drawn at {pin.weight:g}"
    if view.cleared:
        return Text(f"cleared: it had {said}; its next request draws it again")
    evidence = "" if pin.evidence else "; it began before the rollout and is no evidence"
    return Text(f"the session keeps {said}{evidence}")


@app.command(epilog="Example: prompt-canary pin show support-agent --session 4711")
@operation(_pin)
async def show(
    session: Session,
    prompt: PromptArgument,
    key: KeyOption,
    kind: KindOption = "header",
    client: ClientOption = "",
) -> PinView:
    """A session's pin in the rollout that runs."""
    return await session.library.pin(place(prompt, key, kind, client))


@app.command(epilog='Example: prompt-canary pin clear support-agent --session 4711 --reason "asked to"')
@operation(_pin)
async def clear(
    session: Session,
    prompt: PromptArgument,
    key: KeyOption,
    kind: KindOption = "header",
    client: ClientOption = "",
    reason: ReasonOption = "",
) -> PinView:
    """Remove a session's pin, on every worker: its next request draws it again."""
    return await session.library.clear_pin(place(prompt, key, kind, client), session.by(reason))
