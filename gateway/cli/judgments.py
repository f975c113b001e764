"""`judge queue` and `judge retry`: what waits for the judge, and what was given up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import output
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.judging.queue import JudgeQueue


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary judge queue --limit 20")(queue)
    app.command(epilog='Example: prompt-canary judge retry "3f2a9c01b7de/…" --reason "the judge is back"')(
        retry
    )


def _queue(queue: JudgeQueue) -> RenderableType:
    said = f"{queue.waiting} wait, {queue.under_way} are with a judge, {queue.dead} were given up"
    if not queue.letters:
        return Text(said)
    rows = [(each.id, output.when(each.at), str(each.attempts), each.reason) for each in queue.letters]
    return Group(Text(said), output.table(("item", "given up", "tried", "why"), rows))


@operation(_queue)
async def queue(
    session: Session, limit: Annotated[int, typer.Option(min=1, max=1000, help="Dead letters.")] = 100
) -> JudgeQueue:
    """How much waits for the judge, and the newest of what was given up."""
    return await session.judgments.queue(limit)


@operation(_queue)
async def retry(
    session: Session,
    item: Annotated[str, typer.Argument(help="Id of the dead letter.", show_default=False)],
    reason: ReasonOption = "",
) -> JudgeQueue:
    """Let the judge try again what was given up."""
    return await session.judgments.retry(item, session.by(reason))
