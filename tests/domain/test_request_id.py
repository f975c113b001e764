import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.domain.request_id import LENGTH, PREFIX, RequestId, sign, verify
from gateway.errors import InvalidValue

KEY, OTHER = b"k" * 32, b"o" * 32
ID = RequestId("0123456789ab", 7, "canary", b"sessions", 1_790_000_000.25, b"rand")

ids = st.builds(
    RequestId,
    rollout=st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex() if any(raw) else ""),
    version=st.integers(0, 2**24 - 1),
    arm=st.sampled_from(["stable", "canary"]),
    session=st.binary(min_size=8, max_size=8).map(lambda raw: raw if any(raw) else b""),
    at=st.integers(0, 2**40 - 1).map(lambda ticks: ticks * 0.01),
    random=st.binary(min_size=4, max_size=4),
)


@given(ids)
def test_what_was_signed_is_read_back(id: RequestId) -> None:
    token = sign(id, KEY)
    assert token.startswith(PREFIX) and len(token) == LENGTH <= 64
    assert verify(token, [OTHER, KEY]) == id
    assert verify(token, [OTHER]) is None


@given(ids, st.integers(0, LENGTH - 1), st.characters(max_codepoint=0x2FF))
def test_a_changed_character_is_refused(id: RequestId, place: int, character: str) -> None:
    token = sign(id, KEY)
    forged = token[:place] + character + token[place + 1 :]
    assert (verify(forged, [KEY]) == id) == (forged == token)


@given(st.text(max_size=80))
def test_whatever_a_client_sends_is_no_error(token: str) -> None:
    assert verify(token, [KEY]) is None
    assert verify(PREFIX + token, [KEY]) is None


def test_one_id_has_one_spelling() -> None:
    id = next(i for n in range(99) if "-" in sign(i := replace(ID, version=n), KEY)[4:])
    token = sign(id, KEY)
    assert verify(PREFIX + token[4:].replace("-", "+"), [KEY]) is None
    raw = base64.urlsafe_b64decode(token[4:])
    assert len(raw) == 39


def test_a_session_is_cut_to_its_first_eight_bytes() -> None:
    found = verify(sign(replace(ID, session=b"sessions-and-more"), KEY), [KEY])
    assert found is not None and found.session == b"sessions"


@pytest.mark.parametrize(
    "wrong",
    [{"rollout": "abcd"}, {"version": 2**24}, {"session": b"short"}, {"at": 2.0**40}, {"random": b""}],
)
def test_what_has_no_room_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValue, match="room"):
        sign(replace(ID, **wrong), KEY)
