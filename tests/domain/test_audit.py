from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.audit import GENESIS, AuditEntry, append, verify
from gateway.errors import InvalidValue

replace = msgspec.structs.replace
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e9, 1e9)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def chain_of(*afters: Any) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for after in afters:
        previous = entries[-1] if entries else None
        entry = append(previous, at=1.5, actor="ann", action="deploy", subject="p", reason="why", after=after)
        entries.append(entry)
    return entries


def test_a_chain_counts_from_one_and_links_backwards() -> None:
    first, second = chain_of({"live": 1}, {"live": 2})
    assert (first.sequence, first.previous, len(first.hash)) == (1, GENESIS, 64)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert verify([first, second], head=second.hash) is None
    assert verify([second], previous=first) is None
    assert verify([]) is None


@given(st.lists(json_values, min_size=1, max_size=5))
def test_a_chain_survives_a_store(afters: list[Any]) -> None:
    entries = chain_of(*afters)
    stored = msgspec.json.decode(msgspec.json.encode(entries), type=list[AuditEntry])
    assert verify(stored, head=entries[-1].hash) is None


@given(
    st.integers(0, 4),
    st.sampled_from(["at", "actor", "action", "subject", "reason", "before", "after", "evidence", "hash"]),
)
def test_a_change_is_found_where_it_was_made(place: int, field: str) -> None:
    entries = chain_of(*range(5))
    entries[place] = replace(entries[place], **{field: 9.25 if field == "at" else "forged"})
    assert verify(entries) == place + 1


@given(st.integers(0, 4))
def test_an_entry_that_is_missing_is_found(place: int) -> None:
    entries = chain_of(*range(5))
    head = entries[-1].hash
    del entries[place]
    assert verify(entries, head=head) == place + 1


def test_entries_that_changed_places_are_found() -> None:
    first, second, third = chain_of(1, 2, 3)
    assert verify([first, third, second]) == 2


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidValue, match="canonical"):
        chain_of({"share": float("nan")})
