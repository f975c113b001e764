"""Every label of /metrics, once, and what bounds its values: docs/metrics.md is made from this table too.

A label's values are words (`words`, all that there can be), or names whose number something bounds
(`bounded`). Names that clients make up are never values, except models, of which a version has at most
`limits.counted_models`.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

from gateway.analysis.verdict import Action
from gateway.domain.assignment import Arm
from gateway.domain.observation import Outcome
from gateway.domain.rollout import Event, HoldReason, Phase

ROLES = ("worker", "services", "controller", "judge", "health", "simulator")
BREAKER = ("closed", "open", "half_open")
QUEUE = ("free", "claimed", "dead")
KINDS = ("input", "cache_read", "cache_write", "input_audio", "output", "reasoning", "output_audio")


class Label(NamedTuple):
    meaning: str
    words: tuple[str, ...] = ()
    bounded: str = ""


LABELS: dict[str, Label] = {
    "prompt": Label("Name of a prompt", bounded="`limits.counted_versions`; gauges: prompts that roll out"),
    "version": Label("Number of a version", bounded="`limits.counted_versions`"),
    "provider": Label(
        "Who serves an upstream, as OpenTelemetry names it, else the upstream's name",
        bounded="the configuration",
    ),
    "model": Label(
        "Model that the provider is asked for, 100 characters of it",
        bounded="`limits.counted_models` a version",
    ),
    "arm": Label("Arm of a rollout; stable without one", get_args(Arm)),
    "outcome": Label("How a request ended", get_args(Outcome)),
    "code": Label("Code of an error of the gateway", bounded="the errors of the code (gateway/errors.py)"),
    "kind": Label("Kind of token", KINDS),
    "cause": Label(
        "Why a request is of no session, or an answer has no score",
        bounded="the words of the code: absent, over_long, hot, alias; those of docs/judge.md",
    ),
    "period": Label("What a limit is for", ("day", "rollout")),
    "upstream": Label("Name of an upstream", bounded="the configuration"),
    "state": Label("Of a breaker, or of items in a queue", (*BREAKER, *QUEUE)),
    "role": Label("Kind of process", ROLES),
    "ready": Label("Whether it is ready", ("true", "false")),
    "queue": Label("Queue of the store", bounded="the queues of the code"),
    "event": Label("What the controller did", get_args(Event)),
    "rollout": Label("Id of a running rollout", bounded="one for each prompt"),
    "baseline": Label("Number of the stable version", bounded="one for each prompt"),
    "candidate": Label("Number of the canary's version", bounded="one for each prompt"),
    "phase": Label("Of a rollout", get_args(Phase)),
    "action": Label("What the newest verdict asks for", get_args(Action)),
    "rule": Label("Rule that the verdict follows", bounded="the rules of the code (docs/decisions.md)"),
    "hold": Label("Why a rollout waits", (*get_args(HoldReason), "none")),
    "family": Label("Metrics whose harm is tested together", bounded="the policy's metrics"),
    "rubric": Label("Rubric of the judge", bounded="the configuration"),
    "metric": Label("Metric of a policy", bounded="the policy's metrics"),
    "stream": Label("Stream of the test of the sample ratio", bounded="the streams of the code"),
}


def label_table() -> str:
    """The table of docs/metrics.md."""
    lines = ["| label | meaning | values |", "|---|---|---|"]
    for name, label in LABELS.items():
        values = ", ".join(f"`{word}`" for word in label.words) or f"bounded by {label.bounded}"
        lines.append(f"| `{name}` | {label.meaning} | {values} |")
    return "\n".join(lines) + "\n"
