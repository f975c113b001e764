"""What a worker hands to the shadow stage: a stable request as the client sent it, and how it was answered.

`rollout` and session name it, so a session brings one pair however often it is handed on. Nobody is shown
what the candidate makes of it.
"""

from __future__ import annotations

import msgspec

from gateway.domain.observation import Drawn, Outcome


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """`path` and `body` for another answer that is neither streamed nor stored (`wire.replay`); `variables`
    in JSON. `answer`, `outcome` and `flags` of stable. `due_at`: store time, s, by which the pair must be
    judged."""

    prompt: str
    rollout: str
    unit: Drawn
    due_at: float
    path: str
    body: bytes
    variables: bytes
    headers: tuple[tuple[str, str], ...]
    answer: str
    outcome: Outcome
    flags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.rollout}/{self.unit.session.hex()}"


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Copy)


def encode_copy(copy: Copy) -> bytes:
    return _ENCODER.encode(copy)


def decode_copy(value: bytes) -> Copy:
    """Raises `msgspec.DecodeError` for bytes that no gateway of this version wrote."""
    return _DECODER.decode(value)
