"""`rollout watch`: a rollout until it ends. On a terminal a screen that is drawn again and again; into a file
or a pipe one line, or with `--json` one object, for each change. An outage of the store does not end it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, NamedTuple

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from gateway.cli import bars, output
from gateway.cli.prompts import PromptArgument
from gateway.cli.session import Session, following
from gateway.control.views import RolloutView
from gateway.domain.rollout import FINAL
from gateway.errors import NotFound, Unavailable

INTERVAL = 1.0  # s
FAILED = ("rolled_back", "aborted")

IntervalOption = Annotated[float, typer.Option(min=0.1, max=3600.0, help="Seconds between two looks.")]
OnceOption = Annotated[bool, typer.Option("--once", help="One look, then end.")]


class Seen(NamedTuple):
    """One look: the rollout as it was seen last, what keeps it from being seen now, and whether it is the
    only look."""

    rollout: RolloutView
    trouble: str = ""
    alone: bool = False


Tell = Callable[[Seen], None]


def register(app: typer.Typer) -> None:
    decorated = following(display, failed=lambda seen: seen.rollout.phase in FAILED)(watch)
    app.command(epilog="Example: prompt-canary rollout watch support-agent")(decorated)


async def watch(
    session: Session, prompt: PromptArgument, interval: IntervalOption = INTERVAL, once: OnceOption = False
) -> AsyncIterator[Seen]:
    """Look at the newest rollout of a prompt until it ends: bars, intervals, verdict. Exit code 1 if it was
    rolled back or aborted."""
    view = await _newest(session, prompt)
    yield Seen(view, alone=once)
    while not once and view.phase not in FINAL:
        await asyncio.sleep(interval)
        try:
            view = await _again(session, view)
            yield Seen(view)
        except Unavailable as error:
            yield Seen(view, error.message)


@contextlib.contextmanager
def display(as_json: bool) -> Iterator[Tell]:
    console = output.console()
    if as_json:
        yield changes(lambda seen: typer.echo(msgspec.json.encode(seen.rollout)))
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda seen: live.update(_screen(seen), refresh=True)
    else:
        yield changes(lambda seen: console.print(bars.rollout(seen.rollout)) if seen.alone else _line(seen))


def changes(tell: Tell) -> Tell:
    """`tell` only what differs from the look before in more than its numbers."""
    told: list[object] = [None]

    def show(seen: Seen) -> None:
        mark = _mark(seen)
        if mark != told[0]:
            told[0] = mark
            tell(seen)

    return show


def _mark(seen: Seen) -> object:
    view = seen.rollout
    rule = "" if view.evidence is None else view.evidence.verdict.rule
    hold = "" if view.hold is None else view.hold.reason
    return view.phase, view.stage, view.watch, view.weights[-1].value, hold, rule, bool(seen.trouble)


def _line(seen: Seen) -> None:
    said = bars.sentence(seen.rollout) if not seen.trouble else f"not seen: {seen.trouble}"
    typer.echo(f"{output.when(time.time())}  {said}")


def _screen(seen: Seen) -> RenderableType:
    screen = bars.rollout(seen.rollout)
    if not seen.trouble:
        return screen
    return Group(screen, Text(f"not seen at {output.when(time.time())}: {seen.trouble}", style="bold red"))


async def _newest(session: Session, prompt: str) -> RolloutView:
    """The one that runs, else the one that ended last. Raises `NotFound`."""
    deployment = await session.operations.deployment(prompt)
    if deployment.rollout is not None:
        return deployment.rollout
    history = await session.operations.rollouts(prompt)
    if not history:
        raise NotFound(f"{prompt} has had no rollout: start one with `prompt-canary rollout start`")
    return history[0]


async def _again(session: Session, view: RolloutView) -> RolloutView:
    deployment = await session.operations.deployment(view.prompt)
    if deployment.rollout is not None and deployment.rollout.id == view.id:
        return deployment.rollout
    history = await session.operations.rollouts(view.prompt)
    return next(each for each in history if each.id == view.id)
