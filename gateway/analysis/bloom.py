"""The bits of a Bloom filter (doi:10.1145/362686.362692), by double hashing: `low` and `high` are two hashes
of a key, each below the number of bits."""

from __future__ import annotations

from typing import Final

PROBES: Final = 6


def all_set(bits: bytearray, low: int, high: int) -> bool:
    """Whether the key may be among those of the filter."""
    size = len(bits) * 8
    at = low
    for _ in range(PROBES):
        if not bits[at >> 3] >> (at & 7) & 1:
            return False
        at += high
        if at >= size:
            at -= size
    return True


def set_all(bits: bytearray, low: int, high: int) -> None:
    size = len(bits) * 8
    at = low
    for _ in range(PROBES):
        bits[at >> 3] |= 1 << (at & 7)
        at += high
        if at >= size:
            at -= size
