from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.assignment import bucket, judged, sampled

SESSIONS = [b"%016d" % number for number in range(20_000)]


def test_the_numbers_never_change() -> None:
    """Pins outlive an upgrade only if the hash does."""
    assert bucket("salt", b"session") == 0.5735246173744638
    assert sampled("salt", b"session") == 0.22035740569561357
    assert judged("salt", b"session") == 0.9338281805152828


@given(st.text(max_size=40), st.binary(min_size=1, max_size=40))
def test_a_draw_lies_in_the_unit_interval_and_is_repeatable(salt: str, session: bytes) -> None:
    for draw in (bucket, sampled, judged):
        assert 0.0 <= draw(salt, session) < 1.0
        assert draw(salt, session) == draw(salt, session)


def test_a_tenth_of_20000_sessions_falls_below_a_weight_of_a_tenth() -> None:
    for salt in ("a", "b", "c"):
        share = sum(bucket(salt, session) < 0.1 for session in SESSIONS) / len(SESSIONS)
        assert abs(share - 0.1) < 0.01


def test_draws_and_salts_are_independent() -> None:
    """Of the lowest fifth in one, a fifth is in the lowest fifth of any other."""
    low = [session for session in SESSIONS if bucket("a", session) < 0.2]
    for draw, salt in ((bucket, "b"), (sampled, "a"), (judged, "a")):
        share = sum(draw(salt, session) < 0.2 for session in low) / len(low)
        assert abs(share - 0.2) < 0.03


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5).map(sorted), st.binary(min_size=8, max_size=8))
def test_a_larger_weight_only_adds_sessions(weights: list[float], session: bytes) -> None:
    below = [bucket("salt", session) < weight for weight in weights]
    assert below == sorted(below)
