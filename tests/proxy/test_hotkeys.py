"""Which keys are too busy to be one session."""

from gateway.proxy.hotkeys import WINDOW, HotKeys
from gateway.proxy.sessions import Recent


def test_a_key_is_hot_above_both_the_count_and_the_share() -> None:
    keys = HotKeys(share=0.01, count=50)
    constant = Recent()
    answers = [keys.hot(constant, 100.0) for _ in range(60)]
    assert answers == [False] * 50 + [True] * 10


def test_a_key_below_its_share_stays_a_session() -> None:
    keys = HotKeys(share=0.01, count=50)
    for _ in range(20_000):
        keys.hot(Recent(), 100.0)
    busy = Recent()
    assert not any(keys.hot(busy, 100.0) for _ in range(200))
    assert any(keys.hot(busy, 100.0) for _ in range(10))


def test_the_last_minute_counts_and_older_requests_do_not() -> None:
    keys = HotKeys(share=0.01, count=50)
    key = Recent()
    for _ in range(60):
        keys.hot(key, 100.0)
    assert keys.hot(key, 100.0 + WINDOW), "the window before counts too"
    assert not keys.hot(key, 100.0 + 4 * WINDOW)
