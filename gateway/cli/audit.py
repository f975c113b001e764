"""Commands on the audit log."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.session import Session, operation
from gateway.control.audit import AuditPage, Verification

app = typer.Typer(help="Who changed what, when and why: a hash chain.", no_args_is_help=True)


@app.command("list", epilog="Example: prompt-canary audit list --prompt support-agent --limit 20")
@operation(output.audit)
async def list_entries(
    session: Session,
    prompt: Annotated[str, typer.Option(help="Only changes of this prompt.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only entries before this one.")] = None,
) -> AuditPage:
    """The last changes, newest first."""
    return await session.operations.audit(before=before, limit=limit, prompt=prompt)


@app.command("verify", epilog="Example: prompt-canary audit verify")
@operation(output.verification, failed=lambda result: not result.ok)
async def verify(session: Session) -> Verification:
    """Prove that no entry was changed, removed, added or moved. Exit code 1 if one was."""
    return await session.operations.verify_audit()
