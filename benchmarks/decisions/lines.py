"""Runs as they end, one line each, so that a killed benchmark keeps what it has and goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class Lines(Generic[T]):
    """An append-only file of JSON lines. A last line that was not written whole is dropped.

    Raises `msgspec.DecodeError` for a file of anything else."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else b""
        whole = before[: before.rfind(b"\n") + 1]
        if whole != before:
            path.write_bytes(whole)
        self.path = path
        self.values: list[T] = [msgspec.json.decode(line, type=kind) for line in whole.splitlines()]

    def add(self, *values: T) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join([msgspec.json.encode(value) + b"\n" for value in values]))
        self.values += values
