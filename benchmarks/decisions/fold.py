"""`python -m benchmarks.decisions.fold`: observations per second of processor time on one core, from bytes to
state, all 13 metrics on; with the size and time of a checkpoint. Writes benchmarks/results/fold.json."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from gateway.analysis import entries
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.domain.observation import Assigned, Batch, Drawn, Observed, Scored, decode_batch, encode_batch
from gateway.domain.observation import Evidence as Record
from gateway.domain.policy import POLICIES
from gateway.simulation.scenario import AA
from gateway.simulation.sessions import known_thresholds

Row = dict[str, Any]
RESULTS = Path(__file__).resolve().parent.parent / "results"
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


def measured(turns: int, sessions: int = SESSIONS) -> Row:
    """`observations_per_second` of processor time, from bytes to state; of one checkpoint `checkpoint_bytes`
    and `checkpoint_ms`."""
    policy = POLICIES["standard"]
    log = batches(sessions, turns)
    state = Evidence.start(policy, 0.0, known_thresholds(AA, policy), Rules(latency_warmup=0.0))
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
    return {
        "requests_in_a_session": turns,
        "observations_per_second": round(observations / spent),
        "open_sessions": state.open_sessions,
        "checkpoint_bytes": size,
        "checkpoint_ms": round(took * 1e3, 1),
        "compiled": entries.__file__.endswith(".so"),
    }


def main() -> None:
    rows = [measured(turns) for turns in (1, 3)]
    write(rows, RESULTS)
    print(json.dumps(rows, indent=1))


def write(rows: Sequence[Row], folder: Path) -> None:
    """Beside those of the other kind, compiled or not."""
    path = folder / "fold.json"
    before: list[Row] = json.loads(path.read_text()) if path.exists() else []
    kept = [row for row in before if row["compiled"] != rows[0]["compiled"]]
    path.write_text(json.dumps(sorted([*rows, *kept], key=lambda row: row["compiled"]), indent=1) + "\n")


if __name__ == "__main__":
    main()
