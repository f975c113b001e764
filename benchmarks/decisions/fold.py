"""`python -m benchmarks.decisions.fold`: observations per second of processor time on one core, from bytes to
state, all 13 metrics on; with the size and time of a checkpoint."""

from __future__ import annotations

import time
from random import Random

from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.domain.observation import Assigned, Batch, Drawn, Observed, Scored, decode_batch, encode_batch
from gateway.domain.observation import Evidence as Record
from gateway.domain.policy import POLICIES
from gateway.simulation.scenario import AA
from gateway.simulation.sessions import known_thresholds

RATE = 300.0  # sessions/s
BATCH = 50  # sessions
SESSIONS = 300_000


def batches(sessions: int, turns: int) -> list[bytes]:
    rng = Random(turns)
    made: list[bytes] = []
    at = 0.0
    while len(made) * BATCH < sessions:
        records: list[Record] = []
        for _ in range(BATCH):
            at += 1.0 / RATE
            unit = Drawn(rng.randbytes(16), rng.random() < 0.1, 0.1, 1.0, 1.0, at, rng.random() < 0.1)
            records.append(Assigned(unit))
            for turn in range(turns):
                total = rng.expovariate(0.25)
                records.append(Observed(unit, turn == 0, False, at, "ok", total, 0.5, 300, 0.003))
            if unit.judged:
                records.append(Scored(unit, rng.random(), at))
        made.append(encode_batch(Batch("w", len(made) + 1, at, tuple(records))))
    return made


def main() -> None:
    policy = POLICIES["standard"]
    thresholds = known_thresholds(AA, policy)
    for turns in (1, 3):
        log = batches(SESSIONS, turns)
        state = Evidence.start(policy, 0.0, thresholds, Rules(latency_warmup=0.0))
        observations = 0
        before = time.process_time()
        for value in log:
            batch = decode_batch(value)
            observations += len(batch.records)
            state.fold(batch)
        spent = time.process_time() - before
        before = time.process_time()
        size = len(state.to_bytes())
        took = time.process_time() - before
        print(
            f"{turns} requests in a session: {observations / spent:,.0f} observations/s; "
            f"{state.open_sessions:,} open sessions, checkpoint {size / 1e6:.1f} MB in {took * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
