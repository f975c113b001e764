"""The events of a streamed `/v1/messages` answer; each names itself in `event:` and in `type`.

message_start              the input's tokens
content_block_start        a block: text and thinking are still empty, a tool call has its name
content_block_delta        a token; after the first one these are counted by their name alone
message_delta              how it ended; the tokens so far, which replace those said before
message_stop, ping, error
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.answer_shapes import MessagesEvent
from gateway.wire.sse import EventScanner
from gateway.wire.texts import said_by_block
from gateway.wire.usage import finish_word, parse_usage

_DELTA: Final = b"event: content_block_delta"
_EMPTY_BLOCKS: Final = frozenset({"text", "thinking"})
_EMPTY_DELTAS: Final = frozenset({"signature_delta", "citations_delta"})


_EVENT: Final = msgspec.json.Decoder(MessagesEvent)


class MessagesScanner(EventScanner):
    __slots__ = ("_counts",)

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, Any] = {}  # the usage object, as the events so far have put it together

    def _read(self, event: bytes | bytearray) -> bool:
        if self.first_token and not self._listens and event.startswith((_DELTA + b"\n", _DELTA + b"\r\n")):
            self.events += 1
            return False
        data = self._data(event)
        if not data:
            return False
        self._started = True
        self.events += 1
        try:
            found = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.unread += 1
            return False
        self._note(found)
        return False

    def _note(self, found: MessagesEvent) -> None:
        delta = found.delta if isinstance(found.delta, dict) else {}
        match found.type:
            case "content_block_delta":
                self._hear(delta.get("text"), delta.get("partial_json"))
                self.first_token = self.first_token or delta.get("type") not in _EMPTY_DELTAS
            case "content_block_start":
                block = found.content_block if isinstance(found.content_block, dict) else {}
                self._hear(*said_by_block(block))
                self.first_token = self.first_token or block.get("type") not in _EMPTY_BLOCKS
            case "message_start":
                message = found.message if isinstance(found.message, dict) else {}
                self._count(message.get("usage"))
            case "message_delta":
                self.finish_reason = finish_word(delta.get("stop_reason")) or self.finish_reason
                self._count(found.usage)
            case "message_stop":
                self.done = True
            case "error":
                self.error = found.error if found.error is not None else {}
                self.done = True

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._counts |= {key: value for key, value in usage.items() if value is not None}
            self.usage = parse_usage(self._counts) or self.usage
