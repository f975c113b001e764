"""Commands on regression cases: answers of canaries that failed, until a person takes them into the suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
import yaml
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli import output
from gateway.cli.prompts import PromptArgument
from gateway.cli.session import ReasonOption, Session, operation
from gateway.control.cases import CaseView
from gateway.domain.case import Case
from gateway.evals.regression import asserted

app = typer.Typer(help="Answers of canaries that failed, as cases for the suite.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Id, as `cases list` shows it.", show_default=False)]


def listed(cases: Sequence[Case]) -> RenderableType:
    if not cases:
        return Text("no cases")
    return output.table(
        ("case", "state", "version", "why", "since", "by"),
        (
            (each.id, each.state, str(each.version), why(each), output.when(each.at), each.by)
            for each in cases
        ),
    )


def why(case: Case) -> str:
    scored = [] if case.score is None else [f"score {case.score:.2f}"]
    return ", ".join([*case.flags, *scored])


def shown(view: CaseView) -> RenderableType:
    case = view.case
    parts = [Text(f"case {case.id} of {view.prompt}/{case.version}: {case.state}; {why(case)}")]
    test = case.test or view.proposal
    if view.question:
        parts += [Text(f"\n{view.question}"), Text(f"\nanswer: {view.answer}")]
    elif case.state == "quarantined":
        parts.append(Text("its words are gone"))
    if test is not None:
        told = "in the suite" if case.test else "would be accepted"
        dumped = yaml.safe_dump(test, sort_keys=False, allow_unicode=True).rstrip()
        parts.append(Text(f"\n{told}:\n{dumped}"))
    return Group(*parts)


@app.command("list", epilog="Example: prompt-canary cases list support-agent")
@operation(listed)
async def list_cases(session: Session, prompt: PromptArgument) -> tuple[Case, ...]:
    """The cases of a prompt, the oldest first."""
    return await session.assessing.cases(prompt)


@app.command("show", epilog="Example: prompt-canary cases show support-agent 3f2a9c01b7de-0011aa22bb33")
@operation(shown)
async def show(session: Session, prompt: PromptArgument, id: IdArgument) -> CaseView:
    """One case, with its words while they are kept, and what would be accepted."""
    return await session.assessing.case(prompt, id)


@app.command(
    "accept",
    epilog="Example: prompt-canary cases accept support-agent 3f2a9c01b7de-0011aa22bb33 "
    "--assert '{type: contains, value: thirty days}'",
)
@operation(shown)
async def accept(
    session: Session,
    prompt: PromptArgument,
    id: IdArgument,
    asserts: Annotated[
        str | None, typer.Option("--assert", help="What to assert, YAML; default: what its flags say.")
    ] = None,
    reason: ReasonOption = "",
) -> CaseView:
    """Take a case into the prompt's suite: the gate runs it from the next version on."""
    wanted = None if asserts is None else asserted(asserts, "--assert")
    return await session.assessing.accept_case(prompt, id, wanted, session.by(reason))


@app.command("reject", epilog="Example: prompt-canary cases reject support-agent 3f2a9c01b7de-0011aa22bb33")
@operation(shown)
async def reject(
    session: Session, prompt: PromptArgument, id: IdArgument, reason: ReasonOption = ""
) -> CaseView:
    """Leave a case out of the suite, also one that was accepted."""
    return await session.assessing.reject_case(prompt, id, session.by(reason))


@app.command(
    "confirm", epilog="Example: prompt-canary cases confirm support-agent 3f2a9c01b7de-0011aa22bb33 secret"
)
@operation(shown)
async def confirm(
    session: Session,
    prompt: PromptArgument,
    id: IdArgument,
    flag: Annotated[str, typer.Argument(help="One of the case's flags.", show_default=False)],
    reason: ReasonOption = "",
) -> CaseView:
    """Say that a severe flag is real: the first holds the rollout, the third rolls it back."""
    return await session.assessing.confirm_flag(prompt, id, flag, session.by(reason))


@app.command("clear", epilog="Example: prompt-canary cases clear support-agent 3f2a9c01b7de-0011aa22bb33")
@operation(shown)
async def clear(
    session: Session, prompt: PromptArgument, id: IdArgument, reason: ReasonOption = ""
) -> CaseView:
    """Say that there is nothing severe in it: a hold that rests on it ends."""
    return await session.assessing.clear_flags(prompt, id, session.by(reason))
