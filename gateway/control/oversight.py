"""What the controller has to know of the judge beside its scores: whether it may be believed, and how much of
it may be asked for."""

from __future__ import annotations

import msgspec

from gateway.analysis.trust import Doubt
from gateway.control.judging.pace import Pace
from gateway.domain.rollout import Rollout
from gateway.evals.calibration import Calibration
from gateway.evals.drift import Anchors
from gateway.evals.rubric import Bench
from gateway.storage import codec, keys
from gateway.storage.base import Documents

LOOK = 5.0  # s between looks


class Standing(msgspec.Struct, frozen=True):
    """`doubt`: why the judge is not believed, "" if it is, or has not begun. `share` of its sessions that it
    can afford, and `why` not all, in words."""

    doubt: Doubt = ""
    share: float = 1.0
    why: str = ""


UNKNOWN = Standing()


def is_judged(rollout: Rollout) -> bool:
    return rollout.policy is not None and "judge" in rollout.policy.tolerance


async def standing(store: Documents, rollout: Rollout) -> Standing:
    """Raises `GatewayError`."""
    if not is_judged(rollout):
        return UNKNOWN
    document = await store.get(keys.bench(rollout.id))
    doubt: Doubt = (
        "" if document is None else await _doubt(store, codec.decode_document(document, Bench).digest)
    )
    pace = await read_pace(store, rollout.id)
    return Standing(doubt, pace.share, pace.why)


async def read_pace(store: Documents, rollout: str) -> Pace:
    document = await store.get(keys.pace(rollout))
    return Pace() if document is None else codec.decode_document(document, Pace)


async def read_anchors(store: Documents, bench: str) -> Anchors | None:
    document = await store.get(keys.anchors(bench))
    return None if document is None else codec.decode_document(document, Anchors)


async def read_calibration(store: Documents, bench: str) -> Calibration | None:
    document = await store.get(keys.calibration(bench))
    return None if document is None else codec.decode_document(document, Calibration)


async def _doubt(store: Documents, bench: str) -> Doubt:
    anchors = await read_anchors(store, bench)
    if anchors is not None and anchors.drifting:
        return "drift"
    calibration = await read_calibration(store, bench)
    return "" if calibration is not None and calibration.calibrated else "uncalibrated"
