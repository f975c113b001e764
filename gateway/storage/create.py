"""Which adapter. The one place that knows both."""

from pathlib import Path
from typing import Literal

from gateway.settings import Settings, SqliteSettings
from gateway.storage.base import Store
from gateway.storage.limits import DEFAULT_LIMITS, Limits
from gateway.storage.redis import RedisStore
from gateway.storage.sqlite import SqliteStore


def create_store(
    kind: Literal["sqlite", "redis"],
    location: str,
    *,
    prefix: str = "pc",
    accept_data_loss: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Store:
    """A store that is not open yet. `location` is SQLite's directory or Redis' URL; `prefix` and
    `accept_data_loss` matter to Redis only."""
    if kind == "sqlite":
        return SqliteStore(Path(location), limits=limits)
    return RedisStore(location, prefix=prefix, accept_data_loss=accept_data_loss, limits=limits)


def store_of(settings: Settings, *, patient: bool = False) -> Store:
    """The configured store, not open yet. `patient`: no request of a client waits for its look-ups."""
    store = settings.store
    call = store.call_timeout
    limits = Limits(call=call, lookup=call if patient else settings.sessions.lookup_timeout)
    if isinstance(store, SqliteSettings):
        return create_store("sqlite", store.directory, limits=limits)
    return create_store(
        "redis",
        store.url,
        prefix=store.prefix,
        accept_data_loss=store.accept_data_loss,
        limits=limits,
    )
