"""The limits of the fold and of `decide`: numbers that are the same for every policy."""

from __future__ import annotations

import msgspec

from gateway.errors import InvalidValue

METHOD = 1  # how evidence becomes a verdict; a rollout keeps the number that it was started with


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds and counts.

    `watermark`: units are folded this long after their pin, in order of pin, so that what takes longer in
    one arm does not change the order. `early_events`: sessions per second whose errors and flags are folded
    then; those of more wait until they are final. `judge_limit`: the same for scores; later ones are lost.
    `event_window`, `event_requests`: errors and flags count in requests that start so long after the pin, at
    most so many. `upstream_limit`: how long such a request may take; a session without an event is final
    after window and limit. `latency_warmup`: pins so soon after the start or a step bring no latency unit,
    because the provider's caches are cold for a new prompt. `freeze_after`: stable sessions that thresholds
    are taken from; those of the rollout before may have ended `thresholds_age` ago. `max_open`: sessions held
    at once; later ones are left out, and counted.

    `hard_stop`: roll back when so many first requests of the canary failed, all of them. `incident_*`: see
    `monitor.Incident`. `completeness`: least share of judged sessions with a score, in each arm;
    a hold says that it is not reached with this error rate, `completeness_alpha`, however often one looks.
    `score_age`: the newest session with a score may be so much older than the newest that should have one.
    `severe_hold`, `severe_rollback`: canary sessions with a confirmed severe flag that hold, and that roll
    back while stable has none.
    `raise_after`: share of the maximum bake after which a weight is raised, at most `max_raises` times.
    `extension`: share of the maximum bake that is added before a rollout without evidence holds.
    """

    watermark: float = 60.0
    early_events: int = 20
    judge_limit: float = 300.0
    event_window: float = 600.0
    event_requests: int = 5
    upstream_limit: float = 120.0
    latency_warmup: float = 300.0
    freeze_after: int = 500
    thresholds_age: float = 86_400.0
    max_open: int = 400_000
    hard_stop: int = 20
    incident_window: float = 60.0
    incident_requests: int = 20
    incident_longest: float = 600.0
    incident_rate: float = 0.1
    incident_times: float = 5.0
    completeness: float = 0.9
    completeness_alpha: float = 0.01
    score_age: float = 900.0
    raise_after: float = 0.5
    max_raises: int = 3
    extension: float = 0.5
    severe_hold: int = 1
    severe_rollback: int = 3

    def __post_init__(self) -> None:
        if not 0.0 < self.completeness_alpha < 1.0:
            raise InvalidValue("completeness_alpha lies between 0 and 1", param="completeness_alpha")
        numbers = [getattr(self, name) for name in self.__struct_fields__]
        if not all(0.0 <= number < 1e9 for number in numbers):
            raise InvalidValue("every limit is a number from 0 up", param="rules")
        if max(self.watermark, self.judge_limit) > self.final_after:
            raise InvalidValue(
                "watermark and judge_limit end before a session is final: at most "
                "event_window + upstream_limit",
                param="judge_limit",
            )
        counts = ("freeze_after", "max_open", "event_requests", "hard_stop", "severe_hold", "severe_rollback")
        if min(getattr(self, name) for name in counts) < 1:
            raise InvalidValue(f"{', '.join(counts)} are at least 1", param="rules")

    @property
    def final_after(self) -> float:
        """s after its pin at which nothing can be added to a session."""
        return self.event_window + self.upstream_limit
