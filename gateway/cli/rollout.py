"""Commands on rollouts. Those that change a running one are made from its transition table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from gateway.cli import output, watching
from gateway.cli.prompts import PromptArgument, VersionArgument
from gateway.cli.session import ReasonOption, RevisionOption, Session, operation
from gateway.control.rollouts import DEFAULT_POLICY, Start
from gateway.control.views import DeploymentView, RolloutView
from gateway.domain.rollout import PERSONS, TRANSITIONS, Event

WeightOption = Annotated[
    float | None, typer.Option(help="By hand: share of new sessions that the candidate gets, 0 to 1.")
]
PolicyOption = Annotated[
    str | None, typer.Option(help=f"Policy that promotes it or rolls it back (default: {DEFAULT_POLICY}).")
]

app = typer.Typer(help="Put a version beside the live one for a share of sessions.", no_args_is_help=True)


@app.command(epilog="Example: prompt-canary rollout start support-agent 2 --policy careful")
@operation(output.deployment)
async def start(
    session: Session,
    prompt: PromptArgument,
    version: VersionArgument,
    policy: PolicyOption = None,
    weight: WeightOption = None,
    reason: ReasonOption = "",
    override_inputs: Annotated[
        bool, typer.Option(help="Allow inputs that the live version does not need.")
    ] = False,
    if_revision: RevisionOption = None,
) -> DeploymentView:
    """Start a rollout of a version against the live one, under a policy or by hand."""
    what = Start(version, weight, override_inputs, policy)
    return await session.operations.start(prompt, what, session.by(reason), expected=if_revision)


@app.command(epilog="Example: prompt-canary rollout status support-agent")
@operation(output.rollouts)
async def status(session: Session, prompt: PromptArgument) -> tuple[RolloutView, ...]:
    """The rollouts of a prompt, newest first, and what can be done now."""
    return await session.operations.rollouts(prompt)


watching.register(app)


@app.command(epilog="Example: prompt-canary rollout weight support-agent 0.5")
@operation(output.deployment)
async def weight(
    session: Session,
    prompt: PromptArgument,
    value: Annotated[float, typer.Argument(help="0 to 1.", show_default=False)],
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
) -> DeploymentView:
    """Change the candidate's share of new sessions. More counts after a second, less at once."""
    return await session.operations.change(
        prompt, "set_weight", session.by(reason), weight=value, expected=if_revision
    )


def changing(event: Event, says: str) -> Callable[..., Awaitable[DeploymentView]]:
    async def command(
        session: Session,
        prompt: PromptArgument,
        reason: ReasonOption = "",
        if_revision: RevisionOption = None,
    ) -> DeploymentView:
        return await session.operations.change(prompt, event, session.by(reason), expected=if_revision)

    command.__doc__ = f"{says[0].upper()}{says[1:]}."
    return command


SAYS: dict[Event, str] = {event: transition.says for (_, event), transition in TRANSITIONS.items()}
for _event, _says in SAYS.items():
    if _event in PERSONS and _event != "set_weight":
        _name = output.command_name(_event)
        _example = f'Example: prompt-canary rollout {_name} support-agent --reason "…"'
        app.command(_name, epilog=_example)(operation(output.deployment)(changing(_event, _says)))
