"""Commands on what is read and arranged beside rollouts: cards, policies, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
import yaml
from rich.console import RenderableType
from rich.text import Text

from gateway.cli.output import table
from gateway.cli.prompts import PromptArgument, VersionArgument
from gateway.cli.session import ReasonOption, RevisionOption, Session, operation
from gateway.control.card import Card
from gateway.control.library import Labels, PolicyView

LabelArgument = Annotated[str, typer.Argument(help="Name of the label.", show_default=False)]
PolicyArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="One policy, as YAML.", show_default=False)
]

labels_app = typer.Typer(
    help="Movable names of versions, for requests as PROMPT@LABEL.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary card support-agent 2 > card.md")(card)
    app.command(epilog="Example: prompt-canary policies standard")(policies)
    app.add_typer(labels_app, name="label")


def _markdown(value: Card) -> RenderableType:
    return value.markdown


@operation(_markdown)
async def card(session: Session, prompt: PromptArgument, version: VersionArgument) -> Card:
    """All that is known of a version, as Markdown: purpose, change, suite, rollouts, the way back."""
    return await session.library.card(prompt, version)


def _policies(views: Sequence[PolicyView] | PolicyView) -> RenderableType:
    if isinstance(views, PolicyView):
        told: dict[str, Any] = msgspec.to_builtins(views.policy)
        fields = {name: value for name, value in told.items() if value is not None}
        text: str = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None)
        return text
    return table(
        ("policy", "", "weights", "minimum bakes", "maximum", "watch", "gates"),
        (
            (
                view.name,
                "built in" if view.built_in else "configured",
                " → ".join(_weights(view)),
                ", ".join(map(_hours, view.policy.min_bake)),
                _hours(view.policy.max_bake),
                f"{_hours(view.policy.holdback.watch)} with {view.policy.holdback.share:.0%} held back",
                " ".join(view.policy.gates),
            )
            for view in views
        ),
    )


@operation(_policies)
async def policies(session: Session, name: PolicyArgument = None) -> tuple[PolicyView, ...] | PolicyView:
    """What rollouts can be started under; one of them with every field."""
    if name is None:
        return await session.library.policies()
    return await session.library.policy(name)


def _labels(value: Labels) -> RenderableType:
    if not value.labels:
        return Text(f"{value.prompt} has no labels (revision {value.revision})")
    rows = [(label, str(version)) for label, version in sorted(value.labels.items())]
    return table(("label", "version"), rows)


@labels_app.command("list", epilog="Example: prompt-canary label list support-agent")
@operation(_labels)
async def list_labels(session: Session, prompt: PromptArgument) -> Labels:
    """The labels of a prompt and the versions that they name."""
    return await session.library.labels(prompt)


@labels_app.command("set", epilog="Example: prompt-canary label set support-agent staging 3")
@operation(_labels)
async def set_label(
    session: Session,
    prompt: PromptArgument,
    label: LabelArgument,
    version: VersionArgument,
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
) -> Labels:
    """Let a label name a version; one that names another moves."""
    return await session.library.set_label(prompt, label, version, session.by(reason), expected=if_revision)


@labels_app.command("remove", epilog="Example: prompt-canary label remove support-agent staging")
@operation(_labels)
async def remove_label(
    session: Session,
    prompt: PromptArgument,
    label: LabelArgument,
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
) -> Labels:
    """Take a label away."""
    return await session.library.set_label(prompt, label, None, session.by(reason), expected=if_revision)


def _weights(view: PolicyView) -> list[str]:
    return [
        f"{stage.min:.0%}" if stage.min == stage.max else f"{stage.min:.0%}-{stage.max:.0%}"
        for stage in view.policy.stages
    ]


def _hours(seconds: float) -> str:
    if seconds >= 3600.0:
        return f"{seconds / 3600:g}h"
    return f"{seconds / 60:g}m" if seconds >= 60.0 else f"{seconds:g}s"
