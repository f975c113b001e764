"""What a worker knows of sessions: all that came lately, and not more than it may."""

import pytest

from gateway.proxy.sessions import Sessions


@pytest.mark.parametrize("size", [2, 3, 10, 100])
def test_the_last_half_is_known_and_the_whole_is_bounded(size: int) -> None:
    sessions = Sessions(size)
    for number in range(500):
        sessions.of(b"%d" % number).count = number
        for before in range(max(number - size // 2 + 1, 0), number + 1):
            assert sessions.of(b"%d" % before).count == before
        assert len(sessions) <= size
    assert sessions.evicted >= 500 - size


def test_who_comes_again_stays() -> None:
    sessions = Sessions(10)
    usual = sessions.of(b"usual")
    for number in range(1000):
        sessions.of(b"%d" % number)
        assert sessions.of(b"usual") is usual
    assert dict(sessions.all())[b"usual"] is usual
