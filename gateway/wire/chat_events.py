"""The events of a streamed chat completion.

The one thing that may be taken out is the usage event which the gateway asked for and the client did not.
It comes after a finish reason, so only from there on events are held back until they are whole:

    passing ──finish reason, and usage is ours──▶ holding ──[DONE]──▶ passing
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import ClientError
from gateway.wire.answer_shapes import Chunk, Delta, Opening, Telling
from gateway.wire.splice import replace, split
from gateway.wire.sse import EventScanner
from gateway.wire.texts import said_by_message
from gateway.wire.usage import parse_usage

_BLANK = (b"null", b'""', b"[]", b"{}")


_TELLING: Final = msgspec.json.Decoder(Telling)
_OPENING = msgspec.json.Decoder(Opening)  # until the first token
_CHUNK: Final = msgspec.json.Decoder(Chunk)  # after it, deltas are not looked at


class ChatScanner(EventScanner):
    """A first token is a delta with content, reasoning, a tool call, a refusal or audio."""

    __slots__ = ("_strip",)

    def __init__(self, *, strip_usage: bool = False) -> None:
        super().__init__()
        self._strip = strip_usage

    def _too_large(self) -> None:
        self._holding = self._strip and self.finish_reason is not None

    def _read(self, event: bytes | bytearray) -> bool:
        """True if it carries usage that is to be taken out."""
        decoder: Any = _CHUNK if self.first_token else _OPENING
        try:
            # One data line, as nearly always: the line's end is white space after JSON.
            data = event[6:] if event.startswith(b"data: {") else self._data(event)
            found = decoder.decode(data)
            if self.text is not None and self._room:
                self._tell(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = self._read_oddly(event, decoder)
            if found is None:
                return False
        self.events += 1
        self._started = True
        if not self.first_token or found.usage is not None or found.error is not None:
            return self._note(found)
        for choice in found.choices or ():
            if choice.finish_reason is not None:
                return self._note(found)
        return False

    def _read_oddly(self, event: bytes | bytearray, decoder: Any) -> Any:
        data = self._data(event)
        if not data:
            return None
        if data == b"[DONE]":
            self.done = True
            self._holding = self._strip = False
            return None
        try:
            return decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.events += 1
            self.unread += 1
            return None

    def _tell(self, data: bytes | bytearray) -> None:
        """The first choice is what is judged. Of other deltas than objects there is nothing to hear."""
        for choice in _TELLING.decode(data).choices or ():
            if choice.index == 0 and isinstance(choice.delta, dict):
                self._hear(*said_by_message(choice.delta))
                self.refused = self.refused or bool(choice.delta.get("refusal"))

    def _note(self, found: Any) -> bool:
        if not self.first_token and found.choices:
            self.first_token = any(_has_token(choice.delta) for choice in found.choices if choice.delta)
        if found.error is not None:
            self.error = found.error
        usage = parse_usage(found.usage)
        if usage is not None:
            self.usage = usage
        held = self._holding
        for choice in found.choices or ():
            reason = choice.finish_reason
            if isinstance(reason, str) and reason:
                self.finish_reason = reason
                self._holding = self._strip
        return held and usage is not None

    def _reduced(self, event: bytes) -> bytes:
        """Nothing if usage is all it carries (`choices: []`); else the event without the one field."""
        start = event.find(b"{")
        end = event.rfind(b"}") + 1
        data = event[start:end]
        try:
            found = _CHUNK.decode(data)
            if not found.choices and found.error is None:
                return b""
            return b"".join((event[:start], *replace(split(data), {"usage": None}), event[end:]))
        except (msgspec.DecodeError, RecursionError, ClientError):
            return event  # several data lines: leave it whole


def _has_token(delta: Delta) -> bool:
    return any(
        bytes(value) not in _BLANK
        for value in (
            delta.content,
            delta.tool_calls,
            delta.reasoning_content,
            delta.reasoning,
            delta.refusal,
            delta.function_call,
            delta.audio,
        )
    )
