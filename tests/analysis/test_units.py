"""The memory of closed sessions."""

from __future__ import annotations

from random import Random

import msgspec

from gateway.analysis.units import LARGEST, Seen, open_unit
from gateway.domain.observation import Drawn


def test_a_session_is_remembered_and_few_others_are() -> None:
    seen, rng = Seen(), Random(1)
    sessions = [rng.randbytes(16) for _ in range(20_000)]
    wrong = sum(not seen.add(session) for session in sessions)
    assert wrong / len(sessions) < 0.02
    assert not any(seen.add(session) for session in sessions)


def test_it_survives_storage_and_stays_bounded() -> None:
    seen, rng = Seen(), Random(2)
    seen.filters = [bytearray(LARGEST)]
    seen.held = LARGEST
    assert seen.add(session := rng.randbytes(16))
    assert [len(bits) for bits in seen.filters] == [LARGEST]  # the oldest is forgotten
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Seen)
    assert again == seen
    assert not again.add(session)


def test_a_unit_knows_both_of_its_shares() -> None:
    unit = open_unit(Drawn(b"s", True, 0.1, 1.0, 0.5, 1.0, True, 1.0, 0.25))
    assert unit is not None
    assert round(unit.share, 4) == 0.1818
    assert round(unit.judged_share, 4) == 0.4706
    assert open_unit(Drawn(b"s", True, 0.0, 1.0, 1.0, 1.0)) is None
