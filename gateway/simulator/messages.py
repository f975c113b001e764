"""Anthropic's /v1/messages and its count of tokens: from request to reply, whole or streamed."""

from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from gateway.simulator.answer import Answer, ChatBody, Conversation, Message, read
from gateway.simulator.draws import Draws
from gateway.simulator.reply import Reply, Request, error_reply, json_reply
from gateway.simulator.scenario import Cast
from gateway.simulator.text import cached_of, tokens_of
from gateway.simulator.turn import answered

_STOPS = {
    b"stop": "end_turn",
    b"length": "max_tokens",
    b"tool_calls": "tool_use",
    b"content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class MessagesBody(msgspec.Struct):
    """The fields of a request that change the answer; others are accepted and ignored."""

    model: str
    messages: msgspec.Raw
    max_tokens: int | None = None
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None


_body = msgspec.json.Decoder(MessagesBody).decode
_messages = msgspec.json.Decoder(list[Message]).decode


def converse(cast: Cast, request: Request) -> Reply:
    """Answer one request."""
    return in_shape(_converse(cast, request))


def count_tokens(cast: Cast, request: Request) -> Reply:
    """Count as `usage` does."""
    try:
        body = _body(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return in_shape(error_reply(400, str(error)))
    return json_reply({"input_tokens": tokens_of(len(_said(body)))})


def in_shape(reply: Reply) -> Reply:
    """An error in Anthropic's shape; other replies as they are."""
    if reply.status < 400:
        return reply
    kind = _ERRORS.get(reply.status, "invalid_request_error" if reply.status < 500 else "api_error")
    message = orjson.loads(reply.pieces[0])["error"]["message"]
    wrong = {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}
    return replace(reply, pieces=(orjson.dumps(wrong),))


def _converse(cast: Cast, request: Request) -> Reply:
    try:
        body = _body(request.body)
        messages = _read(body)
        talk = read(_as_chat(body), messages, cast.scenario.judge)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return error_reply(400, str(error))
    if not messages or messages[-1].role == "system":
        return error_reply(400, "messages: at least one message is required")
    if body.max_tokens is None:
        return error_reply(400, "max_tokens: Field required")
    return answered(cast, request, talk, _said(body), _Messages(body))


def _said(body: MessagesBody) -> bytes:
    return orjson.dumps(body.system) + bytes(body.messages)


def _read(body: MessagesBody) -> list[Message]:
    """The conversation in chat's words; a message with a tool's result is its answer."""
    found = [Message("system", body.system)] if body.system else []
    for message in _messages(body.messages):
        blocks = message.content if isinstance(message.content, list) else []
        result = any(block.get("type") == "tool_result" for block in blocks)
        found.append(Message("tool" if result else message.role, message.content))
    return found


def _as_chat(body: MessagesBody) -> ChatBody:
    tools = [
        {"function": {"name": tool.get("name"), "parameters": tool["input_schema"]}}
        for tool in body.tools or ()
        if "input_schema" in tool
    ]
    wanted = body.tool_choice or {}
    choice: str | dict[str, Any] = "none" if wanted.get("type") == "none" else {"function": wanted}
    form = (body.output_config or {}).get("format")
    schema = form.get("schema") if isinstance(form, dict) else None
    return ChatBody(
        messages=body.messages,
        model=body.model,
        stream=body.stream,
        tools=tools or None,
        tool_choice=choice,
        response_format={"type": "json_schema", "json_schema": {"schema": schema}} if schema else None,
        max_tokens=body.max_tokens,
    )


class _Messages:
    """The shape of /v1/messages, see `turn.Shape`."""

    def __init__(self, body: MessagesBody) -> None:
        self._body = body

    def usage(self, request_bytes: int, completion: int) -> bytes:
        prompt = tokens_of(request_bytes)
        cached = cached_of(prompt)
        return orjson.dumps(
            {
                "input_tokens": prompt - cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached,
                "output_tokens": completion,
                "service_tier": "standard",
            }
        )

    def whole(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> bytes:
        message = self._message(draws, orjson.loads(usage))
        return orjson.dumps(
            {**message, "content": [_block(answer, draws)], "stop_reason": _STOPS[answer.finish]}
        )

    def events(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> tuple[bytes, ...]:
        counts = orjson.loads(usage)
        blank: dict[str, Any] = {"input": {}} if answer.kind == "tool" else {"text": ""}
        empty = _block(answer, draws) | blank
        message = self._message(draws, {**counts, "output_tokens": 1})
        opening = (
            _event("message_start", {"message": message})
            + _event("content_block_start", {"index": 0, "content_block": empty})
            + _event("ping", {})
        )
        kind, inner = (
            ("input_json_delta", "partial_json") if answer.kind == "tool" else ("text_delta", "text")
        )
        tokens = [
            _event(
                "content_block_delta",
                {"index": 0, "delta": {"type": kind, inner: orjson.Fragment(b'"%b"' % piece)}},
            )
            for piece in answer.pieces
        ]
        end = {"stop_reason": _STOPS[answer.finish], "stop_sequence": None}
        closing = (
            _event("content_block_stop", {"index": 0})
            + _event("message_delta", {"delta": end, "usage": counts})
            + _event("message_stop", {})
        )
        return (b"".join((opening, *tokens[:1])), *tokens[1:], closing)

    def _message(self, draws: Draws, usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{draws.identity:08x}",
            "type": "message",
            "role": "assistant",
            "model": self._body.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }


def _block(answer: Answer, draws: Draws) -> dict[str, Any]:
    text = orjson.loads(b'"%b"' % b"".join(answer.pieces))
    if answer.kind != "tool":
        return {"type": "text", "text": text}
    try:
        arguments = orjson.loads(text)
    except orjson.JSONDecodeError:  # cut by max_tokens
        arguments = {}
    name = orjson.Fragment(answer.tool)
    return {"type": "tool_use", "id": f"toolu_{draws.identity:08x}", "name": name, "input": arguments}


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **fields}))
