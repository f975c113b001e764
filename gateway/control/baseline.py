"""What is known of a baseline before its rollout begins: how that version answered when the last one ended.

Sessions are measured only while a rollout runs. So what a rollout that ends has seen of the version that is
live afterwards (its stable arm after a rollback, its canary after a promotion) is kept, and a rollout against
the same version soon after takes its thresholds from there, instead of comparing neither latency nor tokens
nor cost until 500 stable sessions have come. Too few, too old, or of another version: it freezes its own.

    past/{prompt}         the newest values of first requests, by source, written when a rollout has ended
    beginning/{rollout}   what it was started with, frozen, so that its fold stays a function of its log
"""

from __future__ import annotations

import msgspec

from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.thresholds import SOURCES, Frozen, Source, Thresholds, freeze
from gateway.domain.observation import Batch, Observed
from gateway.domain.policy import Policy
from gateway.storage import codec, keys
from gateway.storage.base import Documents

SCORES = 100  # of an arm, until its mean is worth keeping


class Recent(msgspec.Struct):
    """The newest values of each source, by arm (stable, canary): of first requests in order of arrival, as
    the fold takes them for thresholds. At least `size` are kept where there were so many."""

    size: int
    arms: tuple[dict[Source, list[float]], dict[Source, list[float]]]

    @classmethod
    def of(cls, size: int) -> Recent:
        return cls(size, ({}, {}))

    def add(self, batch: Batch) -> None:
        for record in batch.records:
            if (
                type(record) is Observed
                and record.first
                and not record.again
                and record.outcome != "provider"
            ):
                values = self.arms[record.unit.canary]
                for source in SOURCES:
                    value = getattr(record, source)
                    if value is not None:
                        self._keep(values.setdefault(source, []), float(value))

    def _keep(self, values: list[float], value: float) -> None:
        values.append(value)
        if len(values) > 2 * self.size:
            del values[: -self.size]

    def newest(self, canary: bool, source: Source) -> tuple[float, ...]:
        """`size` values, or none if there are fewer."""
        values = self.arms[canary].get(source, [])
        return tuple(values[-self.size :]) if len(values) >= self.size else ()


class Sample(msgspec.Struct, frozen=True):
    """Values in the source's unit (s, tokens, USD), seen until `at` (store time, s)."""

    at: float
    values: tuple[float, ...]


class Past(msgspec.Struct, frozen=True):
    """Of `version` of a prompt, which was live when a rollout ended at `at`. `judge`: mean badness of its
    scores; `provider_errors`: share of requests; `sessions_per_hour`: of the prompt. None: not known."""

    version: int
    at: float
    samples: dict[Source, Sample] = {}
    judge: float | None = None
    provider_errors: float = 0.0
    sessions_per_hour: float | None = None


class Beginning(msgspec.Struct, frozen=True):
    """What was known when a rollout started."""

    thresholds: Thresholds = Thresholds()
    sessions_per_hour: float | None = None


NOTHING = Beginning()


def past_of(
    version: int,
    canary: bool,
    recent: Recent,
    evidence: Evidence,
    at: float,
    *,
    sessions_per_hour: float | None,
    before: Past | None,
) -> Past:
    """How `version`, which was the `canary` of the rollout that has ended, or its stable, answered. What this
    one saw too little of stays as `before` has it."""
    known = before if before is not None and before.version == version else Past(version, at)
    samples = dict(known.samples)
    for source in SOURCES:
        if values := recent.newest(canary, source):
            samples[source] = Sample(at, values)
    judge = evidence.state.comparisons["judge"].effect
    scored = judge.units[canary]
    return Past(
        version,
        at,
        samples,
        judge.badness[canary] / scored if scored >= SCORES else known.judge,
        evidence.state.incident.baseline,
        known.sessions_per_hour if sessions_per_hour is None else sessions_per_hour,
    )


def beginning_of(past: Past | None, baseline: int, policy: Policy, rules: Rules, now: float) -> Beginning:
    """What a rollout against `baseline` under `policy` may start from."""
    if past is None or now - past.at > rules.thresholds_age:
        return NOTHING
    if past.version != baseline:
        return Beginning(sessions_per_hour=past.sessions_per_hour)
    frozen: dict[Source, Frozen] = {}
    for source, sample in past.samples.items():
        if len(sample.values) >= rules.freeze_after and now - sample.at <= rules.thresholds_age:
            relative = policy.tolerance.get(source, 0.0) if source in ("tokens", "cost") else 0.0
            frozen[source] = freeze(sample.values, relative)
    thresholds = Thresholds(**frozen, judge=past.judge, provider_errors=past.provider_errors)
    return Beginning(thresholds, past.sessions_per_hour)


async def read_past(store: Documents, prompt: str) -> Past | None:
    document = await store.get(keys.past(prompt))
    return None if document is None else codec.decode_document(document, Past)


async def read_beginning(store: Documents, rollout: str) -> Beginning:
    document = await store.get(keys.beginning(rollout))
    return NOTHING if document is None else codec.decode_document(document, Beginning)
