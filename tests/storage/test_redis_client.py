"""Redis URLs, and which servers are refused with which words."""

import pytest

from gateway.errors import ConfigError
from gateway.storage.redis_client import (
    SentinelAddress,
    connect,
    parse_sentinel,
    what_loses_data,
    without_password,
)

SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis+sentinel://h1:1,h2:2/main", SentinelAddress((("h1", 1), ("h2", 2)), "main", 0, {})),
        ("redis+sentinel://h1,h2:2/main/3", SentinelAddress((("h1", 26379), ("h2", 2)), "main", 3, {})),
        ("redis+sentinel://[::1]:7/main/", SentinelAddress((("::1", 7),), "main", 0, {})),
        ("rediss+sentinel://h/main", SentinelAddress((("h", 26379),), "main", 0, {"ssl": True})),
        (
            "redis+sentinel://:p%40ss@h:1/main",
            SentinelAddress((("h", 1),), "main", 0, {"username": None, "password": "p@ss"}),
        ),
        (
            "redis+sentinel://me:pass@h:1/main",
            SentinelAddress((("h", 1),), "main", 0, {"username": "me", "password": "pass"}),
        ),
    ],
)
def test_sentinel_urls(url: str, address: SentinelAddress) -> None:
    assert parse_sentinel(url) == address


@pytest.mark.parametrize(
    "url", ["redis+sentinel://", "redis+sentinel://h:1", "redis+sentinel://u:p@h/main/x"]
)
def test_bad_sentinel_urls_say_what_is_allowed_and_no_password(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"must be redis\+sentinel://host:port,host:port/service/db"
    ) as refusal:
        connect(url, limit=1.0)
    assert "u:p" not in refusal.value.message


def test_other_urls() -> None:
    with pytest.raises(ConfigError, match="http://h is not a Redis URL"):
        connect("http://h", limit=1.0)
    assert without_password("redis://me:secret@h:1/0") == "redis://***@h:1/0"


def test_what_loses_data() -> None:
    assert what_loses_data(SAFE) == []
    assert what_loses_data({**SAFE, "appendfsync": "everysec"}) == []
    assert what_loses_data({**SAFE, "appendfsync": "no"}) == ["appendfsync is no, must be always or everysec"]
    assert what_loses_data({**SAFE, "appendonly": "no"}) == ["appendonly is no, must be yes"]
    assert what_loses_data({**SAFE, "maxmemory-policy": "allkeys-lru"}) == [
        "maxmemory-policy is allkeys-lru, must be noeviction"
    ]
    assert len(what_loses_data({})) == 3
