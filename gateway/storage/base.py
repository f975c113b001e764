"""What a store is: six small protocols over general primitives. It has never heard of a prompt.

Two adapters (`sqlite`, `redis`) and one contract suite (tests/contract) give them meaning:

- `Documents`  JSON-like bytes under a key, with compare-and-set revisions and a change feed.
- `Keys`       bytes with a time to live and a set-if-absent that returns the winner (pins).
- `Logs`       append-only records (evidence).
- `Queue`      claim, acknowledge, re-claim after a lease has run out, dead letters (judge, alerts).
- `Leases`     one holder at a time, each with a fencing token larger than all before it.

One global revision counts commits of documents; a document's revision is that of the commit that last
changed it, and 0 means "does not exist". Times are the store's, in seconds since the epoch; TTLs are
seconds. Every call may raise `errors.StoreUnavailable`; no call blocks the event loop. After a time-out
nobody knows whether a write took place: repeat it only where that does no harm (compare-and-set,
set-if-absent, an enqueue by id), and read what stands.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

QUEUE_MEMORY = 30 * 86_400.0  # seconds for which ids of finished items, and dead letters, are remembered


class Document(NamedTuple):
    key: str
    revision: int
    value: bytes


class Put(NamedTuple):
    """Write `value` if the document's revision is `expected` (0: it must not exist; None: whatever it is)."""

    key: str
    value: bytes
    expected: int | None


class Fence(NamedTuple):
    """A commit under a fence fails with `FenceLost` unless `token` is still the lease's newest."""

    lease: str
    token: int


class Tick(NamedTuple):
    revision: int
    now: float


class Feed(NamedTuple):
    """Documents changed after a revision, each once, in order of revision; ask again from `revision`.

    Puts of one commit share a revision and are never torn apart, so there may be more than `limit`. Fewer
    than `limit` documents means that there is nothing further up to `revision`.
    """

    revision: int
    documents: tuple[Document, ...]


class Record(NamedTuple):
    position: int
    value: bytes


class Claim(NamedTuple):
    """`text`: b"" where its time is over, or there was none."""

    id: str
    value: bytes
    attempt: int
    text: bytes = b""


class Letter(NamedTuple):
    """A dead letter, buried at store time `at`, s, after so many attempts."""

    id: str
    at: float
    reason: str
    attempts: int


class Lease(NamedTuple):
    name: str
    token: int
    expires: float


class Later(Enum):
    """A call that cannot be answered at once. Await its namesake."""

    LATER = "later"


LATER: Final = Later.LATER


class Documents(Protocol):
    async def get(self, key: str) -> Document | None: ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[Document, ...]:
        """Documents whose key starts with `prefix` and sorts after `after`, in order of key (UTF-8 bytes)."""

    async def commit(self, puts: Sequence[Put], *, fence: Fence | None = None) -> int:
        """All puts or none, in one durable transaction; returns the new global revision.

        Raises `StoreRevised` (its `param` is the key that had moved) or `FenceLost`. No puts, or two of
        the same key, are a ValueError.
        """

    async def changes(self, since: int, *, prefixes: Sequence[str], limit: int = 1000) -> Feed:
        """Documents under any of `prefixes` ("" is all of them) whose revision is above `since`."""

    async def tick(self) -> Tick:
        """The global revision and the store's clock, in one cheap round trip."""


class Keys(Protocol):
    """`…_at_once` is for those on a request's way: microseconds, or `LATER`. They raise nothing."""

    def get_at_once(self, key: str) -> bytes | Later | None: ...

    def set_all_at_once(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...] | Later:
        """After `LATER` some of them may have been set."""

    async def get_key(self, key: str) -> bytes | None: ...

    async def set_if_absent(self, key: str, value: bytes, ttl: float) -> bytes:
        """Returns the value that stands afterwards: ours, or that of an earlier writer (the winner)."""

    async def set_all_if_absent(self, items: Sequence[tuple[str, bytes, float]]) -> tuple[bytes, ...]:
        """`set_if_absent` for many (key, value, ttl) in one round trip; each stands for itself."""

    async def touch(self, keys: Sequence[tuple[str, float]]) -> None:
        """Give each key that still exists a new time to live, in one batch."""

    async def delete_key(self, key: str) -> None: ...


class Logs(Protocol):
    async def append(self, log: str, values: Sequence[bytes]) -> int:
        """Returns the position of the last value; positions rise by commit order, never reused."""

    async def read(self, log: str, *, after: int, limit: int = 1000) -> tuple[Record, ...]: ...

    async def trim(self, log: str, *, through: int) -> None: ...


class Queue(Protocol):
    async def enqueue(
        self, queue: str, id: str, value: bytes, *, text: bytes = b"", keep: float = 0.0
    ) -> bool:
        """False if an item with this id was enqueued before (also if it is done, for `QUEUE_MEMORY`). `text`
        is what must not stay: it is readable for `keep` s at most, whatever becomes of the item, and gone
        with the next `forget_texts`; the item itself goes on without it."""

    async def forget_texts(self, queue: str) -> int:
        """Delete texts whose time is over, of dead letters as well; returns how many."""

    async def claim(self, queue: str, owner: str, *, limit: int, lease: float) -> tuple[Claim, ...]:
        """Takes items whose lease has run out, then free ones, oldest first; `attempt` counts from 1."""

    async def acknowledge(
        self, queue: str, owner: str, id: str, *, log: str = "", values: Sequence[bytes] = ()
    ) -> bool:
        """False if the claim was lost to another owner in the meantime; then nothing changes. `values` are
        what the item came to: they are appended to `log` in the same transaction, so exactly once."""

    async def bury(self, queue: str, owner: str, id: str, reason: str) -> bool:
        """Moves a claimed item to the dead letters."""

    async def letters(self, queue: str, *, limit: int) -> tuple[Letter, ...]:
        """Dead letters, newest first."""

    async def revive(self, queue: str, id: str) -> bool:
        """A dead letter is free again, with no attempt made. False if it is none."""

    async def depth(self, queue: str) -> tuple[int, int, int]:
        """(free, claimed, dead); an item whose lease has run out is free."""


class Leases(Protocol):
    async def acquire(self, name: str, owner: str, ttl: float) -> Lease | None:
        """Take or renew: the holder keeps its token; a new holder gets a larger one.

        `owner` names one process, not a machine: two that share a name would share the lease.
        """

    async def release(self, name: str, owner: str) -> None:
        """Let another take it at once. The token stays the newest until then."""


class Store(Documents, Keys, Logs, Queue, Leases, Protocol):
    """Everything one fleet shares."""

    @property
    def regressed(self) -> bool:
        """True once this process has seen acknowledged commits disappear: a failover, or a restored backup,
        lost them. It stays true: raise an alarm, hold rollouts, read everything again from revision 0."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def check_puts(puts: Sequence[Put]) -> None:
    """A commit names each document once: what two puts of the same key should mean, nobody could say."""
    keys = [put.key for put in puts]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(f"a commit needs one or more puts of different keys, not {keys}")
