"""`explain`: why a request, or a session, got its version."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.pins import ClientOption, KindOption, place
from gateway.cli.session import Session, operation
from gateway.control.explain import Explanation
from gateway.domain.request_id import PREFIX
from gateway.errors import InvalidValue

_EXAMPLE = "Example: prompt-canary explain support-agent --session 4711"


def register(app: typer.Typer) -> None:
    app.command(epilog=_EXAMPLE)(explain)


@operation(output.explanation)
async def explain(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(
            metavar="[REQUEST|PROMPT]",
            help="A response's x-request-id, or a prompt; nothing, if requests name no prompt.",
            show_default=False,
        ),
    ] = "",
    key: Annotated[
        str | None, typer.Option("--session", help="The session's key, as the client sends it.")
    ] = None,
    kind: KindOption = "header",
    client: ClientOption = "",
    model: Annotated[
        str, typer.Option(help="The model that requests name, which may be an alias of a prompt.")
    ] = "",
) -> Explanation:
    """Why a request got its version, or which one a session's next request gets."""
    if what.startswith(PREFIX) and key is None:
        return await session.administration.explain_request(what)
    if key is None:
        raise InvalidValue(f"give a request id ({PREFIX}…), or a prompt and --session", param="session")
    asked = place(what, key, kind, client)
    if what:
        return await session.administration.explain_session(*asked)
    return await session.administration.explain_unnamed(model, asked.key, asked.kind, asked.client)
