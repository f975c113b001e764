"""`plan`: what a policy takes at some traffic. It asks neither store nor gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.analysis.reach import Plan, Stable, plan
from gateway.analysis.shadow_reach import ShadowPlan
from gateway.cli.output import NOTHING, table
from gateway.cli.session import JsonOption, exit_on_error, print_value
from gateway.domain.policy import POLICIES, Policy, read_policy
from gateway.errors import ConfigError

_EXAMPLE = "Example: prompt-canary plan --policy careful --sessions-per-hour 300"
_KNOWN = Stable()

PolicyOption = Annotated[
    str, typer.Option(metavar="NAME|FILE", help=f"{', '.join(POLICIES)}, or a YAML file with its fields.")
]


def register(app: typer.Typer) -> None:
    app.command("plan", epilog=_EXAMPLE)(show)


def show(
    sessions_per_hour: Annotated[float, typer.Option(min=0.0, help="New sessions of the prompt.")],
    policy: PolicyOption = "standard",
    judge_sd: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Standard deviation of scores.")
    ] = _KNOWN.judge_sd,
    errors: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of stable sessions with an error.")
    ] = _KNOWN.errors,
    safety: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of stable sessions with a safety flag.")
    ] = _KNOWN.safety,
    as_json: JsonOption = False,
) -> None:
    """How long a rollout takes until every gate has passed, if the candidate is no worse, and what the
    traffic could decide instead. Hours are those in which four of five such rollouts are promoted."""
    with exit_on_error(as_json):
        stable = Stable(judge_sd=judge_sd, errors=errors, safety=safety)
        found = plan(given_policy(policy), sessions_per_hour, stable)
        print_value(found, lambda value: _page(value, policy), as_json)


def given_policy(given: str) -> Policy:
    """By name, or from a YAML file. Raises `ConfigError`, `InvalidValue`."""
    path = Path(given)
    if given in POLICIES or path.suffix not in (".yaml", ".yml"):
        return read_policy(given)
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{given}: cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{given}: a policy is a mapping of its fields")
    return read_policy(raw)


def _page(found: Plan, policy: str) -> RenderableType:
    rows = table(
        ("gate", "tolerance", "canary sessions", "hours", "could decide"),
        (
            (
                gate.name,
                f"{gate.tolerance:.3g}",
                f"{gate.canary_units:.0f}",
                NOTHING if gate.hours is None else f"{gate.hours:.1f}",
                NOTHING if gate.decidable is None else f"{gate.decidable:.3g}",
            )
            for gate in found.gates
        ),
    )
    weights = " → ".join([f"{weight:.2g}" for weight in found.weights])
    hours = "never" if found.hours is None else f"in {found.hours:.1f} h"
    verdict = Text(
        f"{policy} at {found.sessions_per_hour:g} sessions/h: weights {weights}, decided {hours}; "
        f"the maximum bake is {found.max_hours:g} h"
    )
    before = [] if found.shadow is None else [_shadow(found.shadow)]
    shown = [rows] if found.gates else []
    return Group(verdict, *before, *shown, *[Text(line) for line in found.advice])


def _shadow(found: ShadowPlan) -> RenderableType:
    counts = ", ".join(
        f"{gate.name} ±{gate.tolerance:.3g} {NOTHING if gate.pairs is None else f'{gate.pairs} pairs'}"
        for gate in found.gates
    )
    hours = "never" if found.hours is None else f"in {found.hours:.1f} h"
    return Text(f"shadow stage: {counts}; over {hours}, its maximum is {found.max_hours:g} h")
