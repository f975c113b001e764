"""Commands on the tokens of the admin API."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.access import Issued, TokenView
from gateway.domain.access import Role

NameArgument = Annotated[str, typer.Argument(help="Name of the token.", show_default=False)]

app = typer.Typer(help="Who may use the admin API: viewers, operators, admins.", no_args_is_help=True)


@app.command(epilog="Example: prompt-canary token create ci --role operator --prompts 'support-*'")
@operation(output.issued)
async def create(
    session: Session,
    name: NameArgument,
    role: Annotated[Role, typer.Option(help="What it may do.")] = "viewer",
    prompts: Annotated[
        list[str], typer.Option(help="Pattern of prompts (*, ?) that it is limited to; can be repeated.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    reason: ReasonOption = "",
) -> Issued:
    """Make a token. Its secret is printed this once; the store keeps its hash."""
    return await session.administration.create_token(name, role, tuple(prompts), session.by(reason))


@app.command("list", epilog="Example: prompt-canary token list")
@operation(output.tokens)
async def list_tokens(session: Session) -> tuple[TokenView, ...]:
    """All tokens, revoked ones too."""
    return await session.administration.tokens()


@app.command(epilog="Example: prompt-canary token rotate ci --grace 3600")
@operation(output.issued)
async def rotate(
    session: Session,
    name: NameArgument,
    grace: Annotated[float, typer.Option(help="Seconds for which the secret before stays good.")] = 0.0,
    reason: ReasonOption = "",
) -> Issued:
    """Give a token a new secret."""
    return await session.administration.rotate_token(name, grace, session.by(reason))


@app.command(epilog='Example: prompt-canary token revoke ci --reason "left the team"')
@operation(output.token)
async def revoke(session: Session, name: NameArgument, reason: ReasonOption = "") -> TokenView:
    """A token is good no longer, at once and on every machine."""
    return await session.administration.revoke_token(name, session.by(reason))
