"""Small values with a time to live, in a file that every process of the machine maps: a hash table.

    header, 4 KiB │ level 0: 4,096 buckets │ level 1: 8,192 │ level 2: 16,384 │ …
    bucket, 1 KiB: when each of 16 keys ends, 8 bytes each │ their ids, 16 │ their values, length 1 and 39

A key has one bucket in each level. It is looked for level by level, until a place that was never used says
that it was never put further down; a new one takes the first place that is free. So the file grows by a level
when all of a key's buckets are full, nothing moves, and what has expired is free without any sweep.

A file lock (flock) keeps processes, and the threads of one, from each other. It goes with its process, so a
kill -9 leaves none behind. When a key ends is written last, in one store of eight bytes: who dies in the
middle of a put leaves a place that is still free. What was put is in the operating system's page cache and
outlives every process; a power loss may take the last of it. See docs/adr/0029-pins-in-shared-memory.md.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Final

from gateway.errors import ConfigError, InvalidValue, StoreUnavailable
from gateway.storage.base import LATER, Later

VALUE_BYTES: Final = 39  # a longer value is refused
HEADER: Final = 4096
SLOTS: Final = 16
ID: Final = 16
IDS: Final = SLOTS * 8  # where they begin in a bucket
VALUES: Final = IDS + SLOTS * ID
VALUE: Final = 1 + VALUE_BYTES
BUCKET: Final = VALUES + SLOTS * VALUE
BUCKETS: Final = 4096  # of level 0, which holds 65,536 keys in 4 MiB
MAGIC: Final = b"pckeys\x00\x01"  # the last byte is the layout
SOME: Final = 100  # keys that are set or touched while the lock is held: 0.2 ms
RETRY: Final = 0.0005  # s until a lock that another holds is tried again

_LEVELS: Final = len(MAGIC)  # where the header holds how many levels there are
_END: Final = Struct("<d")
_ENDS: Final = Struct(f"<{SLOTS}d{SLOTS * ID}x")
_LENGTHS: Final = tuple(bytes([length]) for length in range(VALUE_BYTES + 1))
_DELETED: Final = _END.pack(1.0)  # long over, and not 0, which says never used
_HOLD: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


def key_id(key: str) -> bytes:
    """16 bytes; two keys of the same never happen by chance (birthday bound: 2^64 keys)."""
    return blake2b(key.encode(), digest_size=16).digest()


class KeyTable:
    """One process's view of the file, for one thread. Times are store time, s.

    `…_at_once` never waits: `LATER` if another holds the lock, or the file must grow. The others wait up to
    `patience` s and raise OSError, `BlockingIOError` if that is over. Two threads need a table each."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._file = -1
        self._map: mmap.mmap | None = None
        self._levels = 0
        self._bucket = self._slot = -1  # what `_find` found

    def open(self) -> None:
        """Makes the file if it is missing. Raises `ConfigError` if it cannot be used, `StoreUnavailable` if
        another process holds it."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._wait()
            try:
                self._begin()
            finally:
                self._release()
        except BlockingIOError as error:
            raise StoreUnavailable(str(error)) from error
        except OSError as error:
            raise ConfigError(f"the store's file {self._path} cannot be used: {error}") from error

    def _begin(self) -> None:
        found = os.pread(self._file, len(MAGIC), 0)
        if found in (b"", bytes(len(MAGIC))):  # new, or whoever made it was killed meanwhile
            _reserve(self._file, 0, _size(1))
            os.pwrite(self._file, MAGIC + _LENGTHS[1], 0)
        elif found != MAGIC:
            raise ConfigError(
                f"{self._path} is no key table that this gateway knows: it begins with {found!r}"
            )
        levels = os.pread(self._file, 1, _LEVELS)[0]
        if os.fstat(self._file).st_size < _size(levels):  # copied in part, or a power loss
            _reserve(self._file, 0, _size(levels))
        self._see()

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # --- at once

    def get_at_once(self, key: str, now: float) -> bytes | Later | None:
        if not self._hold():
            return LATER
        try:
            return self._get(key_id(key), now)
        finally:
            self._release()

    def set_all_at_once(
        self, items: Sequence[tuple[str, bytes, float]], now: float
    ) -> tuple[bytes, ...] | Later:
        """As `set_all`; after `LATER` some of them may have been set."""
        if not self._hold():
            return LATER
        try:
            winners = []
            for key, value, ttl in items:
                stands = self._set(key_id(key), value, now + ttl, now) if len(value) <= VALUE_BYTES else None
                if stands is None:
                    return LATER
                winners.append(stands)
            return tuple(winners)
        finally:
            self._release()

    def touch_at_once(self, items: Sequence[tuple[str, float]], now: float) -> bool:
        """As `touch`; False for `LATER`."""
        if not self._hold():
            return False
        try:
            self._touch(items, now)
            return True
        finally:
            self._release()

    # --- with patience

    def get(self, key: str, now: float) -> bytes | None:
        self._wait()
        try:
            return self._get(key_id(key), now)
        finally:
            self._release()

    def set_all(self, items: Sequence[tuple[str, bytes, float]], now: float) -> tuple[bytes, ...]:
        """For each (key, value, ttl) the value that stands afterwards. Raises `InvalidValue` for one that is
        too long."""
        return self.put_all([(key_id(key), value, now + ttl) for key, value, ttl in items], now)

    def put_all(self, items: Sequence[tuple[bytes, bytes, float]], now: float) -> tuple[bytes, ...]:
        """`set_all` of (id, value, end); some at a time, so that nobody waits for all of them."""
        longest = max([len(value) for _, value, _ in items], default=0)
        if longest > VALUE_BYTES:
            raise InvalidValue(f"{longest} bytes are too many for this key: {VALUE_BYTES} at most")
        winners: list[bytes] = []
        for start in range(0, len(items), SOME):
            self._wait()
            try:
                winners += [self._put(*item, now) for item in items[start : start + SOME]]
            finally:
                self._release()
        return tuple(winners)

    def touch(self, items: Sequence[tuple[str, float]], now: float) -> None:
        """Each key that stands has a new time to live."""
        self._wait()
        try:
            self._touch(items, now)
        finally:
            self._release()

    def delete(self, key: str, now: float) -> None:
        self._wait()
        try:
            if self._find(key_id(key), now):
                self._end(_DELETED)
        finally:
            self._release()

    # --- the lock

    def _hold(self) -> bool:
        if self._map is None:  # closed
            return False
        try:
            fcntl.flock(self._file, _HOLD)
        except OSError:
            return False
        try:
            self._see()
        except OSError:  # who waits is told why
            return False
        return True

    def _wait(self) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(self._file, _HOLD)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BlockingIOError(f"another process holds {self._path}") from None
                time.sleep(RETRY)
                continue
            if self._map is not None:
                self._see()
            return

    def _release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    # --- while the lock is held

    def _see(self) -> None:
        """Map what the others have added. Lets the lock go if it raises OSError."""
        held = self._map
        if held is not None and held[_LEVELS] == self._levels:
            return
        try:
            levels = os.pread(self._file, 1, _LEVELS)[0]
            self._map = mmap.mmap(self._file, _size(levels))
        except (OSError, ValueError) as error:
            self._release()
            raise OSError(f"{self._path} cannot be mapped: {error}") from error
        self._levels = levels
        if held is not None:
            held.close()

    def _grow(self) -> None:
        at = _size(self._levels)
        _reserve(self._file, at, _size(self._levels + 1))
        os.pwrite(self._file, _LENGTHS[self._levels + 1], _LEVELS)
        self._see()

    def _find(self, id: bytes, now: float) -> bool:
        """Whether the key stands, at `_bucket` and `_slot`; if not, these are where it would go, and `_slot`
        is -1 if the file must grow."""
        table = self._map
        assert table is not None
        self._slot = -1
        start, buckets, place = HEADER, BUCKETS, int.from_bytes(id[:4], "little")
        for _ in range(self._levels):
            at = start + place % buckets * BUCKET
            bucket = table[at : at + VALUES]
            ends = _ENDS.unpack(bucket)
            found = bucket.find(id, IDS)
            while found >= 0:
                slot, rest = divmod(found - IDS, ID)
                if rest == 0 and ends[slot] > now:
                    self._bucket, self._slot = at, slot
                    return True
                found = bucket.find(id, found + 1)
            for slot in range(SLOTS):
                end: float = ends[slot]
                if end <= now:
                    if self._slot < 0:
                        self._bucket, self._slot = at, slot
                    if end == 0.0:
                        return False
            start += buckets * BUCKET
            buckets *= 2
        return False

    def _get(self, id: bytes, now: float) -> bytes | None:
        return self._value() if self._find(id, now) else None

    def _value(self) -> bytes:
        table = self._map
        assert table is not None
        at = self._bucket + VALUES + self._slot * VALUE
        value = table[at : at + VALUE]
        return value[1 : 1 + value[0]]

    def _put(self, id: bytes, value: bytes, ends: float, now: float) -> bytes:
        stands = self._set(id, value, ends, now)
        while stands is None:
            self._grow()
            stands = self._set(id, value, ends, now)
        return stands

    def _touch(self, items: Sequence[tuple[str, float]], now: float) -> None:
        for key, ttl in items:
            if self._find(key_id(key), now):
                self._end(_END.pack(now + ttl))

    def _set(self, id: bytes, value: bytes, ends: float, now: float) -> bytes | None:
        """None if the file must grow first."""
        if self._find(id, now):
            return self._value()
        if self._slot < 0:
            return None
        table = self._map
        assert table is not None
        at = self._bucket + IDS + self._slot * ID
        table[at : at + ID] = id
        at = self._bucket + VALUES + self._slot * VALUE
        table[at : at + 1 + len(value)] = _LENGTHS[len(value)] + value
        self._end(_END.pack(ends))
        return value

    def _end(self, ends: bytes) -> None:
        table = self._map
        assert table is not None
        at = self._bucket + self._slot * 8
        table[at : at + 8] = ends


def _reserve(file: int, start: int, end: int) -> None:
    """So that a full disk is an error here, and no signal (SIGBUS) at a later write."""
    if sys.platform == "darwin":  # has no such call
        os.ftruncate(file, end)
    else:
        os.posix_fallocate(file, start, end - start)


def _size(levels: int) -> int:
    return HEADER + BUCKETS * BUCKET * ((1 << levels) - 1)
