"""What the controller has to know of the judge beside its scores: whether it may be believed, and how much of
it may be asked for."""

from __future__ import annotations

import msgspec

from gateway.analysis.trust import Doubt
from gateway.domain.rollout import Rollout
from gateway.evals.calibration import Calibration
from gateway.evals.rubric import Bench
from gateway.storage import codec, keys
from gateway.storage.base import Documents

LOOK = 5.0  # s between looks


class Standing(msgspec.Struct, frozen=True):
    """`doubt`: why the judge is not believed, "" if it is, or has not begun."""

    doubt: Doubt = ""


UNKNOWN = Standing()


def is_judged(rollout: Rollout) -> bool:
    return rollout.policy is not None and "judge" in rollout.policy.gates


async def standing(store: Documents, rollout: Rollout) -> Standing:
    """Raises `GatewayError`."""
    document = await store.get(keys.bench(rollout.id))
    if not is_judged(rollout) or document is None:
        return UNKNOWN
    bench = codec.decode_document(document, Bench)
    return Standing(await _doubt(store, bench.digest))


async def _doubt(store: Documents, bench: str) -> Doubt:
    document = await store.get(keys.calibration(bench))
    calibration = None if document is None else codec.decode_document(document, Calibration)
    return "" if calibration is not None and calibration.calibrated else "uncalibrated"
