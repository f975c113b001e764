"""`simulate`: a policy against simulated sessions. It asks neither store nor gateway."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gateway.cli.output import NOTHING, table
from gateway.cli.planning import PolicyOption, given_policy
from gateway.cli.session import JsonOption, exit_on_error, print_value
from gateway.simulation.summary import Share, Summary
from gateway.simulation.trial import Trial, choose, concluded, trial

_EXAMPLE = "Example: prompt-canary simulate --policy fast --sessions-per-hour 300 --scenario judge --runs 50"

COLUMNS = (
    "scenario",
    "candidate",
    "rolled back",
    "promoted",
    "exposed",
    "hours",
    "judge calls",
    "held",
)


def register(app: typer.Typer) -> None:
    app.command("simulate", epilog=_EXAMPLE)(show)


def show(
    sessions_per_hour: Annotated[
        float,
        typer.Option(min=1.0, max=1e6, help="New sessions of the prompt; more take longer."),
    ],
    policy: PolicyOption = "standard",
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Part of a scenario's name; may be given again. Default: ten."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="Simulated rollouts of each scenario.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """How often a policy would roll back what is harmless and miss what is not, how many canary sessions a
    rollback comes after, and how long a decision takes: whole simulated sessions through the same sampling,
    fold and decision as real ones. The same seeds every time."""
    with exit_on_error(as_json):
        chosen_policy = given_policy(policy)
        scenarios = choose(scenario or (), chosen_policy, sessions_per_hour)
        found = []
        with _progress() as progress:
            for each in scenarios:
                task = progress.add_task(each.name, total=runs)
                done = []
                for run in trial(each, chosen_policy, runs):
                    done.append(run)
                    progress.advance(task)
                found.append(done)
        result = concluded(policy, sessions_per_hour, scenarios, found)
        print_value(result, _page, as_json)


def _progress() -> Progress:
    """On stderr, and only for people."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _page(found: Trial) -> RenderableType:
    rows = table(COLUMNS, (_cells(each) for each in found.scenarios))
    lines = [
        f"{found.policy} at {found.sessions_per_hour:g} sessions/h",
        f"false rollbacks: {_of(found.false_rollbacks)}",
        f"missed regressions: {_of(found.missed_regressions)}",
    ]
    note = [
        "Rates with their 95 % Wilson intervals. Exposed: canary sessions before a rollback, median / 90 %.",
        "Until the decision: hours, median / 80 %; judge calls, median / 90 %.",
    ]
    return Group(*[Text(line) for line in lines], rows, *[Text(line) for line in note])


def _cells(each: Summary) -> tuple[str, ...]:
    return (
        each.scenario,
        each.truth,
        _rate(each.rolled_back),
        _rate(each.promoted),
        _pair(each.canary_sessions),
        _pair(each.hours),
        _pair(each.judge_calls),
        ", ".join([f"{reason} {count}" for reason, count in each.held.items()]) or NOTHING,
    )


def _of(share: Share | None) -> str:
    return "no such scenario was run" if share is None else f"{share.hits} of {share.runs}, {_rate(share)}"


def _rate(share: Share) -> str:
    return f"{share.rate:.1%} ({100 * share.low:.1f}-{100 * share.high:.1f})"


def _pair(values: tuple[float, float] | None) -> str:
    return NOTHING if values is None else f"{values[0]:g} / {values[1]:g}"
