"""The ids of managed responses: what feedback needs to know, signed, so that no look-up table is needed.

    pc1. + base64url( rollout 6 · version 3 · arm 1 · session 8 · time 5 · random 4 · mac 12 bytes )

56 characters. The mac is keyed BLAKE2b (RFC 7693) of 96 bits over the prefix and all fields before it; a
forger has one chance in 2^96 for each try. Two keys may be valid while the fleet changes from one to the
other: the first signs.
"""

from __future__ import annotations

import hmac
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from gateway.domain.assignment import Arm
from gateway.errors import InvalidValue

PREFIX: Final = "pc1."
LENGTH: Final = 56
SESSION_BYTES, RANDOM_BYTES, MAC_BYTES, ROLLOUT_BYTES = 8, 4, 12, 6
VERSION_BYTES: Final = 3
TIME_BYTES: Final = 5
TICK: Final = 0.01  # s, the resolution of the time; 40 bits of it last 348 years

_HEAD: Final = PREFIX.encode()
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")  # RFC 4648, section 5
_FROM_URL_SAFE: Final = str.maketrans("-_+/", "+/!!")  # strictly: one spelling for each id
_FIELDS: Final = struct.Struct(">6sBHB8sBI4s")  # version and time are split into a high and a low half
_NO_ROLLOUT: Final = bytes(ROLLOUT_BYTES)
_NO_SESSION: Final = bytes(SESSION_BYTES)
_VERSIONS: Final = 1 << 24
_TICKS: Final = 1 << 40


class RequestId(msgspec.Struct, frozen=True):
    """`rollout` is an id of 12 hex digits, or "" where none ran; `session` the first 8 bytes of its hash,
    or b"" without a session; `at` store time, s; `random` 4 bytes that keep ids of one moment apart."""

    rollout: str
    version: int
    arm: Arm
    session: bytes
    at: float
    random: bytes


def sign(id: RequestId, key: bytes) -> str:
    """The id as the client sees it. Raises `InvalidValue` for fields that have no room in it."""
    return signed(id.rollout, id.version, id.arm, id.session, id.at, id.random, key).decode()


def signed(
    rollout: str, version: int, arm: Arm, session: bytes, at: float, random: bytes, key: bytes
) -> bytes:
    """As `sign`, of the fields of a `RequestId`."""
    short = _NO_SESSION if session == b"" else session[:SESSION_BYTES]
    ticks = int(at / TICK + 0.5)
    if len(short) != SESSION_BYTES or len(random) != RANDOM_BYTES or not 0 <= ticks < _TICKS:
        raise InvalidValue(
            "a request id has room for 8 bytes of session, 4 of random and 5 of time: "
            f"{session!r}, {random!r}, {at}"
        )
    fields = b"%b%b%b%b" % (_subject(rollout, version, arm), short, ticks.to_bytes(TIME_BYTES, "big"), random)
    return _HEAD + b2a_base64(fields + _mac(key, fields), newline=False).translate(_URL_SAFE)


@lru_cache(maxsize=1024)  # few of them at a time
def _subject(rollout: str, version: int, arm: Arm) -> bytes:
    raw = bytes.fromhex(rollout) if rollout else _NO_ROLLOUT
    if len(raw) != ROLLOUT_BYTES or not 0 <= version < _VERSIONS:
        raise InvalidValue(
            f"a request id has room for 6 bytes of rollout and 3 of version: {rollout!r}, {version}"
        )
    return raw + version.to_bytes(VERSION_BYTES, "big") + (b"\1" if arm == "canary" else b"\0")


def verify(token: str, keys: Sequence[bytes]) -> RequestId | None:
    """The id in `token` if one of `keys` signed it, else None: never an error, whatever the client sent."""
    if len(token) != LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return None
    try:
        signed = a2b_base64(token[len(PREFIX) :].translate(_FROM_URL_SAFE), strict_mode=True)
    except ValueError:
        return None
    fields, mac = signed[:-MAC_BYTES], signed[-MAC_BYTES:]
    if not any(hmac.compare_digest(_mac(key, fields), mac) for key in keys):
        return None
    rollout, high, low, canary, session, late, early, random = _FIELDS.unpack(fields)
    return RequestId(
        rollout="" if rollout == _NO_ROLLOUT else rollout.hex(),
        version=high << 16 | low,
        arm="canary" if canary else "stable",
        session=b"" if session == _NO_SESSION else session,
        at=(late << 32 | early) * TICK,
        random=random,
    )


def _mac(key: bytes, fields: bytes) -> bytes:
    hasher = _keyed(key).copy()
    hasher.update(fields)
    return hasher.digest()


@lru_cache(maxsize=8)  # key and prefix are hashed once
def _keyed(key: bytes) -> blake2b:
    """A key above 64 bytes is hashed first, as in HMAC."""
    short = key if len(key) <= blake2b.MAX_KEY_SIZE else blake2b(key).digest()
    return blake2b(_HEAD, key=short, digest_size=MAC_BYTES, person=b"request id")
