"""The events of a streamed `/v1/responses` answer; each names itself in `event:` and in `type`.

response.created           the id that a later request may refer to
response.*.delta           a token; after the first one these are counted by their name alone
response.completed         usage, and how it ended; or response.incomplete, response.failed
error                      something went wrong: code, message, param, in an object `error` or not
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.answer_shapes import ResponsesEvent
from gateway.wire.sse import EventScanner
from gateway.wire.texts import said_by_block
from gateway.wire.usage import Answer, finish_word, parse_usage

_DELTA: Final = b".delta"
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_TEXT_DELTAS: Final = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    }
)
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})


_EVENT: Final = msgspec.json.Decoder(ResponsesEvent)


class ResponsesScanner(EventScanner):
    """`done` after the last event of the response: completed, incomplete, failed or error."""

    __slots__ = ()

    def _read(self, event: bytes | bytearray) -> bool:
        if self.first_token and not self._listens and event.startswith(b"event: response."):
            end = event.find(b"\n")
            name = event[:end].rstrip(b"\r")
            if name.endswith(_DELTA):
                self.events += 1
                return False
        data = self._data(event)
        if not data or data == b"[DONE]":
            return False
        self._started = True
        self.events += 1
        try:
            found = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.unread += 1
            return False
        if isinstance(found.type, str):
            self._note(found.type, found)
        elif found.error is not None:
            self.error = found.error
        return False

    def _note(self, kind: str, found: ResponsesEvent) -> None:
        if kind in _TEXT_DELTAS:
            self._hear(found.delta)
            self.refused = self.refused or kind == "response.refusal.delta"
        elif kind == "response.output_item.added":
            self._hear(*said_by_block(found.item))
        if not self.first_token and kind.endswith((".delta", ".partial_image")):
            self.first_token = found.delta != ""
            return
        if kind == "error":
            said = {"code": found.code, "message": found.message, "param": found.param}
            self.error = found.error if found.error is not None else said
        response = found.response
        if isinstance(response, dict):
            answer = outcome(response)
            self.response_id = answer.id or self.response_id
            self.finish_reason = answer.finish_reason or self.finish_reason
            self.usage = answer.usage or self.usage
            if answer.error is not None:
                self.error = answer.error
        self.done = self.done or kind in _LAST


def outcome(response: dict[str, Any]) -> Answer:
    """What a response object says of itself; one that is still in progress has no finish reason."""
    status = response.get("status")
    details = response.get("incomplete_details")
    reason = None
    if status == "completed":
        reason = "tool_calls" if _calls(response.get("output")) else "stop"
    elif status == "incomplete":
        reason = finish_word(details.get("reason") if isinstance(details, dict) else None) or "incomplete"
    id = response.get("id")
    return Answer(
        parse_usage(response.get("usage")),
        reason,
        response.get("error"),
        id if isinstance(id, str) and id else None,
    )


def _calls(output: Any) -> bool:
    """Whether the response asks its client to call something."""
    items = output if isinstance(output, list) else ()
    return any(isinstance(item, dict) and item.get("type") in _CALLS for item in items)
