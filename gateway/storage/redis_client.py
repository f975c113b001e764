"""Redis connections for the store: URLs, Sentinel, and what a server must be like to be trusted.

    redis://[user:password@]host:port/db        rediss:// for TLS, unix:///path?db=0 for a socket
    redis+sentinel://[user:password@]host:port,host:port/service/db        rediss+sentinel:// for TLS

A Sentinel URL's user and password are the Redis servers'; the sentinels themselves are asked without.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from gateway.errors import ConfigError

OLDEST_REDIS = 7
SENTINEL_URL = re.compile(
    r"redis(?P<tls>s?)\+sentinel://((?P<user>[^:@/]*):(?P<password>[^@/]*)@)?"
    r"(?P<hosts>[^/@]+)/(?P<service>[^/]+)(/(?P<db>\d+))?/?\Z"
)


class SentinelAddress(NamedTuple):
    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    options: dict[str, Any]


def connect(url: str, *, limit: float) -> tuple[Redis, tuple[Redis, ...]]:
    """A client without a connection yet, and all that must be closed in the end (it and the sentinels').

    Commands are never sent twice: a repeated append is a lie.
    """
    # No `socket_timeout`: the store's guard limits every call, and redis-py would send inside an
    # `asyncio.wait_for`, which costs a task a command and on Python 3.11 swallows cancellation.
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": limit,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if "+sentinel://" in url:
        address = parse_sentinel(url)
        make_sentinel: Any = Sentinel  # untyped in redis-py
        share = limit / (len(address.hosts) + 1)  # they are asked in turn, and one may hang
        asking = {**options, "socket_timeout": share, "socket_connect_timeout": share}
        sentinel = make_sentinel(list(address.hosts), sentinel_kwargs=asking, **options)
        client: Redis = sentinel.master_for(address.service, db=address.db, **address.options)
        return client, (client, *sentinel.sentinels)
    try:
        client = Redis.from_pool(ConnectionPool.from_url(url, **options))
    except ValueError as error:
        raise ConfigError(f"store.url {without_password(url)} is not a Redis URL: {error}") from error
    return client, (client,)


def parse_sentinel(url: str) -> SentinelAddress:
    found = SENTINEL_URL.match(url)
    if found is None:
        raise ConfigError(
            f"store.url {without_password(url)} must be redis+sentinel://host:port,host:port/service/db"
        )
    hosts = []
    for host in found["hosts"].split(","):
        name, _, port = host.rpartition(":") if re.search(r":\d+\Z", host) else (host, "", "26379")
        hosts.append((name.strip("[]"), int(port)))
    options: dict[str, Any] = {"ssl": True} if found["tls"] else {}
    if found["password"]:
        options["password"] = unquote(found["password"])
        options["username"] = unquote(found["user"]) or None
    return SentinelAddress(tuple(hosts), found["service"], int(found["db"] or 0), options)


def without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", url)


async def check_server(client: Redis, *, accept_data_loss: bool) -> None:
    """Raise `ConfigError` that says what to set, unless the server keeps what it acknowledges."""
    info: dict[str, Any] = await client.info("server")
    version = str(info["redis_version"])
    if int(version.split(".")[0]) < OLDEST_REDIS:
        raise ConfigError(f"Redis {version} is too old: use {OLDEST_REDIS}.0 or newer")
    if info.get("redis_mode") == "cluster":
        raise ConfigError(
            "Redis Cluster is not supported: use one primary, with Sentinel if it must fail over"
        )
    if accept_data_loss:
        return
    slips = what_loses_data(await _configuration(client))
    if slips:
        raise ConfigError(
            f"this Redis does not keep what it acknowledges: {'; '.join(slips)}. "
            "Set that in redis.conf, or accept the loss with store.accept_data_loss: true"
        )


def what_loses_data(configuration: dict[str, str]) -> list[str]:
    wanted = {
        "appendonly": ("yes",),
        "appendfsync": ("always", "everysec"),
        "maxmemory-policy": ("noeviction",),
    }
    return [
        f"{name} is {configuration.get(name, 'unknown')}, must be {' or '.join(allowed)}"
        for name, allowed in wanted.items()
        if configuration.get(name) not in allowed
    ]


async def _configuration(client: Redis) -> dict[str, str]:
    """Empty where the server does not allow CONFIG, as some that are rented: then all is unknown."""
    try:
        pairs: dict[Any, Any] = await client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except ResponseError:
        return {}
    return {_text(name): _text(value) for name, value in pairs.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
