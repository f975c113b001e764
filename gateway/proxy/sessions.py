"""What a worker knows of the sessions that came lately: the pin of each, and how often it came.

One place for both, because with many thousands of sessions each look into a table is a wait for memory. Two
generations instead of an order of use: what is asked for moves to the young one, and when that is full the
old one is forgotten. So whatever was asked for within the last half of the size is still known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.domain.pins import Kept


@mypyc_attr(acyclic=True)
class Recent:
    """`kept` is the session's pin in `rollout`. The rest is `hotkeys`'."""

    __slots__ = ("before", "count", "kept", "rollout", "window")

    def __init__(self) -> None:
        self.rollout = ""
        self.kept: Kept | None = None
        self.window = 0
        self.count = 0
        self.before = 0


class Sessions:
    """By keyed hash, at most `size`."""

    __slots__ = ("_gone", "_half", "_old", "_young", "evicted")

    def __init__(self, size: int) -> None:
        self.evicted = 0
        self._half: Final = max(1, size // 2)
        self._young: dict[bytes, Recent] = {}
        self._old: dict[bytes, Recent] = {}
        self._gone: dict[bytes, Recent] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def of(self, session: bytes) -> Recent:
        recent = self._young.get(session)
        if recent is not None:
            return recent
        recent = self._old.pop(session, None)
        if recent is None:
            recent = Recent()
        if len(self._young) >= self._half:
            self.evicted += len(self._old)
            self._young, self._old, self._gone = {}, self._young, self._old
        for _ in range(min(2, len(self._gone))):  # freed bit by bit: 50,000 at once take 10 ms
            self._gone.popitem()
        self._young[session] = recent
        return recent

    def all(self) -> Iterator[tuple[bytes, Recent]]:
        yield from self._young.items()
        yield from self._old.items()
