"""Values as tables and lines, for people. `--json` prints the values themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.analysis.shadow import ShadowMetric, ShadowView
from gateway.analysis.verdict import MetricView
from gateway.control.access import Issued, TokenView
from gateway.control.administration import DeliveryPage, Sent
from gateway.control.alerts.outbox import Delivery
from gateway.control.audit import AuditPage, Verification
from gateway.control.client_keys import KeyView, NewKey
from gateway.control.explain import Explanation
from gateway.control.registry import Pushed
from gateway.control.replay import Replay
from gateway.control.views import DeploymentView, PromptView, RolloutView, VersionView
from gateway.domain.rollout import Event

PIPE_WIDTH = 200  # columns where nobody's window limits them
NOTHING = "–"


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def pushed(results: Sequence[Pushed]) -> RenderableType:
    return table(
        ("prompt", "version", "digest", "gate", ""),
        (
            (item.prompt, str(item.version), short(item.digest), item.gate.state, _what_happened(item))
            for item in results
        ),
    )


def deployments(views: Sequence[DeploymentView]) -> RenderableType:
    if not views:
        return Text("no prompts yet: push one with `prompt-canary push PATH`")
    return table(
        ("prompt", "live", "digest", "canary", "weight", "phase", "rollout", "revision"),
        (
            (
                view.prompt,
                NOTHING if view.live is None else f"{view.live}{_worse(view)}",
                NOTHING if view.digest is None else short(view.digest),
                *_rollout_cells(view.rollout),
                str(view.revision),
            )
            for view in views
        ),
    )


def deployment(view: DeploymentView) -> RenderableType:
    live = "nothing is live" if view.live is None else f"{view.prompt}/{view.live} is live"
    rollout = "no rollout runs" if view.rollout is None else _sentence(view.rollout)
    until = ""
    if view.expiry is not None:
        until = f" until {when(view.expiry.at)}, then {view.prompt}/{view.expiry.back_to}"
    warnings = () if view.rollout is None else view.rollout.warnings
    first = f"{live}{_worse(view)}{until}; {rollout} (revision {view.revision})"
    return Text("\n".join([first, *map(_warning, warnings)]))


def _worse(view: DeploymentView) -> str:
    """What has been seen since an emergency deploy."""
    found = view.emergency
    return "" if found is None or not found.worse else f" (fails more often than {found.before} did)"


def versions(view: PromptView) -> RenderableType:
    return table(
        ("version", "state", "gate", "digest", "pushed", "by", "change"),
        (
            (
                str(item.number),
                item.state,
                f"{item.gate.state} ({item.gate.suite})",
                short(item.digest),
                when(item.created_at),
                item.created_by,
                item.metadata.change,
            )
            for item in view.versions
        ),
    )


def version(view: VersionView) -> RenderableType:
    return Text(f"version {view.number} is {view.state}; its gate {view.gate.suite!r} is {view.gate.state}")


def rollouts(views: Sequence[RolloutView]) -> RenderableType:
    if not views:
        return Text("no rollout yet")
    rows = table(
        ("rollout", "candidate", "baseline", "phase", "weight", "started", "by", "ended", "by", "reason"),
        (
            (
                view.id,
                str(view.candidate),
                str(view.baseline),
                view.phase,
                weight_of(view),
                when(view.started_at),
                view.started_by,
                when(view.ended_at),
                view.ended_by,
                view.end_reason or view.reason,
            )
            for view in views
        ),
    )
    parts: list[RenderableType] = [rows]
    if views[0].policy:
        parts += evidence(views[0])
    if views[0].can:
        parts.append(Text(f"possible now: {', '.join(map(command_name, views[0].can))}"))
    return Group(*parts)


def evidence(view: RolloutView) -> list[RenderableType]:
    """Of a rollout under a policy: where it stands, why, and every number."""
    stage = stage_of(view)
    lines = [f"\n{view.id}: policy {view.policy}, {stage} since {when(view.stage_since)}"]
    if view.hold is not None:
        lines.append(f"holds since {when(view.hold.since)} ({view.hold.reason}): {view.hold.detail}")
    lines += map(_warning, view.warnings)
    if view.evidence is None:
        return [Text("\n".join([*lines, "no evidence yet"]))]
    verdict = view.evidence.verdict
    lines.append(f"{verdict.action}: {verdict.reason}  (at {when(view.evidence.decided_at)})")
    if view.evidence.judge.share < 1.0:
        lines.append(
            f"the judge takes {view.evidence.judge.share:.3g} of its sessions: {view.evidence.judge.why}"
        )
    rows = table(
        ("metric", "stable", "canary", "units", "difference", "95 %", "allowed", "harm E", "gate E"),
        (_metric(metric) for metric in verdict.metrics if any(metric.units)),
    )
    parts: list[RenderableType] = [Text("\n".join(lines))]
    if verdict.shadow is not None:
        parts += shadow(verdict.shadow)
    return parts if view.shadow else [*parts, rows]


def stage_of(view: RolloutView) -> str:
    if view.shadow:
        return "shadow stage"
    return "watch" if view.watch else f"stage {view.stage + 1} of {view.stages}"


def shadow(view: ShadowView) -> list[RenderableType]:
    """What pairs of answers have shown."""
    missing = ", ".join(f"{cause} {count}" for cause, count in view.missing.items())
    told = f"shadow: {view.pairs} pairs of at least {view.pairs_need}, {view.waiting} wait for their time"
    rows = table(
        ("metric", "pairs", "difference", "95 %", "allowed", "harm E", "gate E"),
        (_shadowed(metric) for metric in view.metrics),
    )
    return [Text(f"{told}; missing: {missing}" if missing else told), rows]


def _shadowed(metric: ShadowMetric) -> tuple[str, ...]:
    known = metric.low is not None and metric.high is not None and metric.difference is not None
    harm = f"{metric.harm_e:.3g}"
    return (
        metric.name,
        str(metric.pairs),
        f"{metric.difference:+.4f}" if known else NOTHING,
        f"{metric.low:+.3f} … {metric.high:+.3f}" if known else NOTHING,
        f"{metric.tolerance:.3g}",
        harm if metric.harm_needs is None else f"{harm} of {metric.harm_needs:.3g}",
        NOTHING if metric.gate_needs is None else f"{metric.gate_e:.3g} of {metric.gate_needs:.3g}",
    )


def _warning(text: str) -> str:
    return f"warning: {text}"


def _metric(metric: MetricView) -> tuple[str, ...]:
    known = metric.low is not None and metric.high is not None and metric.difference is not None
    return (
        metric.name,
        *(NOTHING if mean is None else f"{mean:.4g}" for mean in metric.means),
        f"{metric.units[0]} / {metric.units[1]}",
        f"{metric.difference:+.4f}" if known else NOTHING,
        f"{metric.low:+.3f} … {metric.high:+.3f}" if known else NOTHING,
        f"{metric.tolerance:.3g}",
        f"{metric.harm_e:.3g}",
        NOTHING if metric.gate_e is None else f"{metric.gate_e:.3g} of {metric.gate_needs:.3g}",
    )


def replayed(result: Replay) -> RenderableType:
    if result.partial and not result.agree and not result.differences:
        return Text(
            f"PARTIAL: evidence of its {result.decisions} decisions has been removed: nothing is compared"
        )
    if result.partial:
        note = "; PARTIAL: the beginning of its evidence is missing, so differences mean nothing"
    else:
        note = ""
    if result.agree:
        return Text(f"ok: {result.decisions} recorded decisions, each reached again{note}")
    rows = table(
        ("at", "log position", "recorded", "replayed"),
        ((when(each.now), str(each.position), each.recorded, each.replayed) for each in result.differences),
    )
    return Group(Text(f"DIFFERENT: {result.decisions} recorded decisions{note}"), rows)


def audit(page: AuditPage) -> RenderableType:
    rows = table(
        ("entry", "at", "actor", "action", "prompt", "reason"),
        (
            (
                str(entry.sequence),
                when(entry.at),
                entry.actor,
                entry.action,
                entry.subject,
                entry.reason,
            )
            for entry in page.entries
        ),
    )
    return rows if page.next is None else Group(rows, Text(f"older ones: --before {page.next}"))


def verification(result: Verification) -> RenderableType:
    if result.ok:
        return Text(f"ok: {result.entries} entries, last hash {result.hash or NOTHING}")
    return Text(f"BROKEN: {result.problem}; the {result.entries} entries before it are intact")


def issued(result: Issued) -> RenderableType:
    return Group(token(result.token), Text(f"\n{result.secret}\n\nIt is shown this once."))


def token(view: TokenView) -> RenderableType:
    if view.revoked_at:
        return Text(f"token {view.name} is revoked since {when(view.revoked_at)}")
    until = f"; the one before is good until {when(view.previous_until)}" if view.previous_until else ""
    return Text(f"token {view.name} is {view.role} of {_reach(view)}{until}")


def tokens(views: Sequence[TokenView]) -> RenderableType:
    if not views:
        return Text("no tokens: the admin API answers everybody on this machine, and nobody else")
    return table(
        ("token", "role", "prompts", "created", "by", "rotated", "revoked", "by"),
        (
            (
                *(view.name, view.role, _reach(view), when(view.created_at), view.created_by),
                *(when(view.rotated_at), when(view.revoked_at), view.revoked_by),
            )
            for view in views
        ),
    )


def client_keys(views: Sequence[KeyView]) -> RenderableType:
    if not views:
        return Text("no keys yet: make one with `prompt-canary keys create NAME`")
    return table(
        ("id", "name", "prompts", "permissions", "rate", "burst", "created", "by", "revoked"),
        (
            (
                view.id,
                view.name,
                " ".join(view.prompts),
                " ".join(view.permissions) or NOTHING,
                NOTHING if view.rate is None else f"{view.rate:g}/s",
                NOTHING if view.rate is None else str(view.burst),
                when(view.created_at),
                view.created_by,
                when(view.revoked_at),
            )
            for view in views
        ),
    )


def new_key(made: NewKey) -> RenderableType:
    return Text(f"{made.key}\nThis is the key of {made.name} (id {made.id}). It is not shown again.")


def client_key(view: KeyView) -> RenderableType:
    return Text(f"key {view.id} of {view.name} is revoked since {when(view.revoked_at)}")


def deliveries(page: DeliveryPage) -> RenderableType:
    if not page.deliveries:
        return Text("no alerts yet")
    rows = table(
        ("delivery", "event", "at", "summary", "state", "tried", "last"),
        (
            (
                *(each.id, each.alert.event, when(each.alert.at), each.alert.summary, each.state),
                *(str(each.tried), each.attempts[-1].outcome if each.attempts else NOTHING),
            )
            for each in page.deliveries
        ),
    )
    return rows if page.next is None else Group(rows, Text(f"older ones: --after {page.next}"))


def delivery(value: Delivery) -> RenderableType:
    return Text(f"delivery {value.id} is {value.state}")


def sent(value: Sent) -> RenderableType:
    return Text(f"a test is on its way: see delivery {value.delivery} in `prompt-canary alerts list`")


def explanation(value: Explanation) -> RenderableType:
    prompt = f"{value.prompt}/{value.version}" if value.prompt else f"version {value.version}"
    lines = [f"{prompt} ({value.arm}) at {when(value.at)}", *(f"- {line}" for line in value.why)]
    return Text("\n".join(lines))


def overrides(values: dict[str, int]) -> RenderableType:
    if not values:
        return Text("no overrides")
    return table(("prompt", "version"), ((name, str(number)) for name, number in sorted(values.items())))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # `Text`, because a reason may hold what rich would take for markup.
        made.add_row(*(Text(cell) for cell in row))
    return made


def command_name(event: Event) -> str:
    """What the event is called on the command line."""
    return event.removeprefix("set_").replace("_", "")


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else NOTHING


def _reach(view: TokenView) -> str:
    return ", ".join(view.prompts) or "all prompts"


def _what_happened(item: Pushed) -> str:
    if item.created:
        return "new version"
    return "new metadata" if item.metadata_changed else "unchanged"


def weight_of(view: RolloutView) -> str:
    return f"{view.weight:g}" if view.announced is None else f"{view.weight:g} → {view.announced:g}"


def _sentence(view: RolloutView) -> str:
    return f"rollout {view.id} of {view.prompt}/{view.candidate} is {view.phase} at weight {weight_of(view)}"


def _rollout_cells(view: RolloutView | None) -> tuple[str, str, str, str]:
    if view is None:
        return (NOTHING, NOTHING, NOTHING, NOTHING)
    return (str(view.candidate), weight_of(view), view.phase, view.id)
