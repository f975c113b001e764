"""Commands on alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.administration import DeliveryPage, Sent
from gateway.control.alerts.outbox import Delivery

app = typer.Typer(help="What people were told of, and whether it arrived.", no_args_is_help=True)


@app.command("list", epilog="Example: prompt-canary alerts list --limit 20")
@operation(output.deliveries)
async def list_alerts(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    after: Annotated[str, typer.Option(help="Only what is older than this delivery.")] = "",
) -> DeliveryPage:
    """Deliveries of alerts, newest first: what arrived, what waits, what was given up."""
    return await session.administration.alerts(after, limit)


@app.command(epilog="Example: prompt-canary alerts retry 42-pager")
@operation(output.delivery)
async def retry(
    session: Session,
    delivery: Annotated[str, typer.Argument(help="Id of the delivery.", show_default=False)],
    reason: ReasonOption = "",
) -> Delivery:
    """Try a delivery again that was given up."""
    return await session.administration.retry_alert(delivery, session.by(reason))


@app.command(epilog="Example: prompt-canary alerts test pager")
@operation(output.sent)
async def test(
    session: Session,
    target: Annotated[str, typer.Argument(help="Name of the target in `alerts`.", show_default=False)],
    reason: ReasonOption = "",
) -> Sent:
    """Send a test to one target, the way that every alert goes."""
    return await session.administration.test_alert(target, session.by(reason))
