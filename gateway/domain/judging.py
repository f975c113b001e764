"""What a worker hands to the judge: one session's first answer, and what led to it.

Nothing in it but the unit says which arm it is of, and that is not shown to the judge. `rollout` and
session name the item, so a session is judged once however often it is enqueued. Its words go to the queue
apart from it, because they may not be kept as long: an item whose words are gone still comes to a record.
"""

from __future__ import annotations

import msgspec

from gateway.domain.observation import Drawn


class Item(msgspec.Struct, frozen=True, array_like=True):
    """`due_at`: store time, s, after which a score comes too late to count. Texts were cut and redacted.
    `trace`: trace and span of the request, 24 bytes; b"" where it has no span. With `flags` it is not for the
    judge but to be looked at again (a queue of its own). `version` gave the answer."""

    prompt: str
    rollout: str
    unit: Drawn
    due_at: float
    question: str = ""
    answer: str = ""
    trace: bytes = b""
    flags: tuple[str, ...] = ()
    version: int = 0

    @property
    def id(self) -> str:
        return f"{self.rollout}/{self.unit.session.hex()}"


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Item)
_WORDS = msgspec.msgpack.Decoder(tuple[str, str])


def encode_item(item: Item) -> bytes:
    """Without its words."""
    return _ENCODER.encode(msgspec.structs.replace(item, question="", answer=""))


def encode_words(item: Item) -> bytes:
    return _ENCODER.encode((item.question, item.answer))


def decode_item(value: bytes, words: bytes = b"") -> Item:
    """With its words, if there are any left. Raises `msgspec.DecodeError` for bytes that no gateway of this
    version wrote."""
    item = _DECODER.decode(value)
    if not words:
        return item
    question, answer = _WORDS.decode(words)
    return msgspec.structs.replace(item, question=question, answer=answer)
