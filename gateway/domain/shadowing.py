"""What a worker hands to the shadow stage: a stable request as the client sent it, and how it was answered.

Its words go to the queue apart from it, because they may not be kept as long. `rollout` and session name it,
so a session brings one pair however often it is handed on. Nobody is shown what the candidate makes of it.
"""

from __future__ import annotations

import msgspec

from gateway.domain.observation import Drawn, Outcome


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """`path` and `body` for another answer that is neither streamed nor stored (`wire.replay`); `variables`
    in JSON. `answer`, `outcome` and `flags` of stable. `due_at`: store time, s, by which the pair must be
    judged. `trace`: as of `judging.Item`."""

    prompt: str
    rollout: str
    unit: Drawn
    due_at: float
    path: str
    headers: tuple[tuple[str, str], ...]
    outcome: Outcome
    flags: tuple[str, ...] = ()
    body: bytes = b""
    variables: bytes = b""
    answer: str = ""
    trace: bytes = b""

    @property
    def id(self) -> str:
        return f"{self.rollout}/{self.unit.session.hex()}"


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Copy)
_WORDS = msgspec.msgpack.Decoder(tuple[bytes, bytes, str])


def encode_copy(copy: Copy) -> bytes:
    """Without its words."""
    return _ENCODER.encode(msgspec.structs.replace(copy, body=b"", variables=b"", answer=""))


def encode_copied(copy: Copy) -> bytes:
    """Its words."""
    return _ENCODER.encode((copy.body, copy.variables, copy.answer))


def decode_copy(value: bytes, words: bytes = b"") -> Copy:
    """With its words, if there are any left. Raises `msgspec.DecodeError` for bytes that no gateway of this
    version wrote."""
    copy = _DECODER.decode(value)
    if not words:
        return copy
    body, variables, answer = _WORDS.decode(words)
    return msgspec.structs.replace(copy, body=body, variables=variables, answer=answer)
