"""A request's body while it comes in.

A large one is copied as it comes: joining 32 MiB at its end would stop all other exchanges for 20 ms, mostly
in the kernel, which has to find the pages. What is then done with it is done in steps; what else waits comes
between them (`soon`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TypeVar

from gateway.wire import Piece
from gateway.wire.splice import LARGE

T = TypeVar("T")


class Gathered:
    """`size` bytes so far."""

    __slots__ = ("_chunks", "_large", "size")

    def __init__(self) -> None:
        self.size = 0
        self._chunks: list[bytes] = []
        self._large: BytesIO | None = None  # instead of them

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size <= LARGE:
            self._chunks.append(chunk)
            return
        if self._large is None:
            self._large = BytesIO()
            self._large.writelines(self._chunks)
            self._chunks.clear()
        self._large.write(chunk)

    def take(self) -> bytes:
        """The whole, which is no longer held here."""
        chunks = self._chunks
        if self._large is not None:
            body = self._large.getvalue()  # no copy: the buffer itself
        else:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.clear()
        return body

    def clear(self) -> None:
        self._chunks.clear()
        self._large = None


def size_of(pieces: Sequence[Piece]) -> int:
    """In bytes. (`sum(map(len, …))`, which a compiled module cannot see into, takes four times as long.)"""
    size = 0
    for piece in pieces:
        size += len(piece)
    return size


def soon(
    step: Callable[[Callable[[T], None], T], None], work: Callable[[T], None], what: T, size: int
) -> None:
    """Call `step(work, what)`: at once, or with a large body of `size` bytes after what else waits."""
    if size <= LARGE:
        step(work, what)
    else:
        asyncio.get_running_loop().call_soon(step, work, what)
