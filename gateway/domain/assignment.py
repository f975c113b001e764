"""Where a session falls: uniform numbers in [0, 1), fixed by a rollout's salt and the session.

MurmurHash3 (x64, 128 bit; the first 64 are used) is uniform but not secret: a session's bytes are a keyed
hash already, so no client can choose its bucket. The three draws have different seeds, so that whether a
session is measured or judged says nothing about its arm.
"""

from __future__ import annotations

from typing import Final, Literal

from mmh3 import mmh3_x64_128_utupledigest

Arm = Literal["stable", "canary"]

BUCKET_SEED, SAMPLING_SEED, JUDGE_SEED = 0x5E551077, 0x5A3B1E5D, 0x10D6E000
UNIT: Final = 2.0**-53  # 53 bits are what a double holds exactly


def bucket(salt: str, session: bytes) -> float:
    """The session's position: canary where it is below the weight, so a larger weight only adds sessions."""
    return (mmh3_x64_128_utupledigest(salt.encode() + session, BUCKET_SEED)[0] >> 11) * UNIT


def sampled(salt: str, session: bytes) -> float:
    """Measured where it is below the sample rate of the session's arm."""
    return (mmh3_x64_128_utupledigest(salt.encode() + session, SAMPLING_SEED)[0] >> 11) * UNIT


def judged(salt: str, session: bytes) -> float:
    """Judged where it is below the judge's rate for the session's arm."""
    return (mmh3_x64_128_utupledigest(salt.encode() + session, JUDGE_SEED)[0] >> 11) * UNIT
