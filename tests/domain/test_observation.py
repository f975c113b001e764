"""Evidence records survive the log unchanged, and what is no batch is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.observation import (
    Assigned,
    Batch,
    Drawn,
    Evidence,
    Observed,
    Scored,
    decode_batch,
    encode_batch,
    encode_written,
    written,
)

shares = st.floats(0.0, 1.0)
seconds = st.floats(0.0, 1e10)
units = st.builds(
    Drawn,
    st.binary(max_size=16),
    st.booleans(),
    shares,
    shares,
    shares,
    seconds,
    st.booleans(),
    shares,
    shares,
)
records: st.SearchStrategy[Evidence] = st.one_of(
    st.builds(Assigned, units),
    st.builds(
        Observed,
        units,
        st.booleans(),
        st.booleans(),
        seconds,
        st.sampled_from(["ok", "prompt", "provider", "client"]),
        seconds,
        first_token=st.none() | seconds,
        tokens=st.none() | st.integers(0, 10**9),
        cost=st.none() | seconds,
        flags=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    ),
    st.builds(Scored, units, st.none() | shares, seconds, st.text(max_size=8)),
)


@given(st.lists(records, max_size=5).map(tuple), st.integers(0, 2**40))
def test_a_batch_survives_the_log(evidence: tuple[Evidence, ...], dropped: int) -> None:
    batch = Batch("machine-1-42", 7, 1.5, evidence, dropped)
    assert decode_batch(encode_batch(batch)) == batch
    one_by_one = [written(record) for record in evidence]
    assert encode_written("machine-1-42", 7, 1.5, one_by_one, dropped) == encode_batch(batch)


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_batch(b"\x01")
    with pytest.raises(msgspec.DecodeError):
        decode_batch(msgspec.msgpack.encode(["w", 1, 0.0, [["x", []]], 0]))


def test_a_record_is_small() -> None:
    """20,000 observations/s have to fit through the store."""
    unit = Drawn(bytes(16), True, 0.05, 1.0, 1.0, 1.7e9)
    assert (
        len(encode_batch(Batch("w", 1, 0.0, (Observed(unit, True, False, 1.7e9, "ok", 1.2, 0.3, 99),)))) < 160
    )
