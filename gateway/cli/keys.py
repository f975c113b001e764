"""Commands on the gateway's own client keys (`clients: keys` in the configuration)."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.client_keys import KeyView, NewKey
from gateway.domain.client_key import PERMISSIONS, Permission, Wanted
from gateway.errors import InvalidValue

app = typer.Typer(help="Keys of the gateway's own clients.", no_args_is_help=True)

_EXAMPLE = "Example: prompt-canary keys create web-shop --prompt 'support-*' --rate 50"


@app.command("create", epilog=_EXAMPLE)
@operation(output.new_key)
async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    prompt: Annotated[
        list[str] | None, typer.Option(help="Prompt it may use, or pattern of names; may be repeated. All.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help=f"Permission; may be repeated: {', '.join(PERMISSIONS)}.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second of each worker.")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once; default: those of a second.")] = None,
    reason: ReasonOption = "",
) -> NewKey:
    """Make a key. It is shown now and never again."""
    wanted = Wanted(name, tuple(prompt or ("*",)), _permissions(allow or []), rate, burst)
    return await session.operations.create_key(wanted, session.by(reason))


@app.command("list", epilog="Example: prompt-canary keys list")
@operation(output.client_keys)
async def list_keys(session: Session) -> tuple[KeyView, ...]:
    """All keys, newest first, revoked ones too; never the keys themselves."""
    return await session.operations.client_keys()


@app.command("revoke", epilog="Example: prompt-canary keys revoke aB3dEf6hIj9k --reason 'left the company'")
@operation(output.client_key)
async def revoke(
    session: Session,
    id: Annotated[str, typer.Argument(help="Id, as `keys list` shows it.")],
    reason: ReasonOption = "",
) -> KeyView:
    """Refuse a key from now on: within half a second on every worker."""
    return await session.operations.revoke_key(id, session.by(reason))


def _permissions(given: list[str]) -> tuple[Permission, ...]:
    unknown = [name for name in given if name not in PERMISSIONS]
    if unknown:
        allowed = ", ".join(PERMISSIONS)
        raise InvalidValue(f"--allow is one of {allowed}, not {unknown[0]!r}", param="permissions")
    return tuple(permission for permission in PERMISSIONS if permission in given)
