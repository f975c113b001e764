"""/v1/responses: from request to reply, whole or streamed. Nothing is stored: `previous_response_id` is taken
and not looked up, so an answer depends on the request alone."""

from typing import Any

import msgspec
import orjson

from gateway.simulator.answer import Answer, ChatBody, Conversation, Message, read
from gateway.simulator.draws import Draws
from gateway.simulator.reply import Reply, Request, error_reply
from gateway.simulator.scenario import Cast
from gateway.simulator.text import cached_of, tokens_of
from gateway.simulator.turn import CREATED, answered

_REASONS = {b"length": "max_output_tokens", b"content_filter": "content_filter"}


class ResponsesBody(msgspec.Struct):
    """The fields of a request that change the answer; others are accepted and ignored."""

    model: str
    input: msgspec.Raw
    instructions: str | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None


class Item(msgspec.Struct):
    role: str | None = None
    type: str | None = None
    content: str | list[dict[str, Any]] | None = None


_body = msgspec.json.Decoder(ResponsesBody).decode
_input = msgspec.json.Decoder(str | list[Item]).decode


def respond(cast: Cast, request: Request) -> Reply:
    """Answer one request."""
    try:
        body = _body(request.body)
        messages = _messages(body)
        talk = read(_as_chat(body), messages, cast.scenario.judge)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return error_reply(400, f"We could not parse the body of your request: {error}", code="invalid_json")
    if not messages:
        return error_reply(400, "input is empty", param="input")
    parts = (body.instructions or "", body.previous_response_id or "")
    said = b"\0".join((*(part.encode(errors="replace") for part in parts), bytes(body.input)))
    return answered(cast, request, talk, said, _Responses(body))


def _messages(body: ResponsesBody) -> list[Message]:
    """The conversation in chat's words; the output of a tool is its answer."""
    given = _input(body.input)
    items = [Item("user", "message", given)] if isinstance(given, str) else given
    found = [Message("system", body.instructions)] if body.instructions else []
    for item in items:
        role = "tool" if (item.type or "").endswith("_call_output") else item.role or "assistant"
        found.append(Message(role, item.content))
    return found


def _as_chat(body: ResponsesBody) -> ChatBody:
    tools = [{"function": tool} for tool in body.tools or () if tool.get("type") == "function"]
    choice = body.tool_choice
    if isinstance(choice, dict):
        choice = {"function": choice}
    form = (body.text or {}).get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        form = {"type": "json_schema", "json_schema": form}
    return ChatBody(
        messages=body.input,
        model=body.model,
        stream=body.stream,
        tools=tools or None,
        tool_choice=choice,
        response_format=form if isinstance(form, dict) else None,
        max_completion_tokens=body.max_output_tokens,
    )


class _Responses:
    """The shape of /v1/responses, see `turn.Shape`."""

    def __init__(self, body: ResponsesBody) -> None:
        self._body = body

    def usage(self, request_bytes: int, completion: int) -> bytes:
        prompt = tokens_of(request_bytes)
        return orjson.dumps(
            {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": cached_of(prompt), "cache_write_tokens": 0},
                "output_tokens": completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + completion,
            }
        )

    def whole(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> bytes:
        return orjson.dumps(self._response(answer, draws, usage))

    def events(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> tuple[bytes, ...]:
        empty = {**self._response(answer, draws, b""), "status": "in_progress", "output": []}
        empty |= {"usage": None, "incomplete_details": None}
        item = _item(answer, draws)
        where: dict[str, Any] = {"output_index": 0, "item_id": item["id"]}
        if answer.kind == "tool":
            opened = {**item, "arguments": "", "status": "in_progress"}
            kind, inner, part = "function_call_arguments", "arguments", None
        else:
            opened = {**item, "content": [], "status": "in_progress"}
            part = item["content"][0]
            kind, inner = ("refusal", "refusal") if answer.kind == "refusal" else ("output_text", "text")
            where["content_index"] = 0
        text = orjson.loads(b'"%b"' % b"".join(answer.pieces))
        before: list[tuple[str, dict[str, Any]]] = [
            ("created", {"response": empty}),
            ("in_progress", {"response": empty}),
            ("output_item.added", {"output_index": 0, "item": opened}),
        ]
        after: list[tuple[str, dict[str, Any]]] = [(f"{kind}.done", {**where, inner: text})]
        if part is not None:
            before.append(("content_part.added", {**where, "part": {**part, inner: ""}}))
            after.append(("content_part.done", {**where, "part": part}))
        after.append(("output_item.done", {"output_index": 0, "item": item}))
        last = "incomplete" if answer.finish in _REASONS else "completed"
        after.append((last, {"response": self._response(answer, draws, usage)}))
        opening = [_event(name, number, fields) for number, (name, fields) in enumerate(before)]
        tokens = [
            _token(kind, len(before) + at, where, piece, logprobs=kind == "output_text")
            for at, piece in enumerate(answer.pieces)
        ]
        number = len(before) + len(tokens)
        closing = [_event(name, number + at, fields) for at, (name, fields) in enumerate(after)]
        return (b"".join((*opening, *tokens[:1])), *tokens[1:], b"".join(closing))

    def _response(self, answer: Answer, draws: Draws, usage: bytes) -> dict[str, Any]:
        reason = _REASONS.get(answer.finish)
        return {
            "id": f"resp_{draws.identity:08x}",
            "object": "response",
            "created_at": CREATED,
            "status": "incomplete" if reason else "completed",
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": self._body.instructions,
            "metadata": {},
            "model": self._body.model,
            "output": [_item(answer, draws)],
            "parallel_tool_calls": True,
            "previous_response_id": self._body.previous_response_id,
            "temperature": 1.0,
            "tool_choice": self._body.tool_choice or "auto",
            "tools": self._body.tools or [],
            "top_p": 1.0,
            "text": self._body.text or {"format": {"type": "text"}},
            "usage": orjson.Fragment(usage) if usage else None,
        }


def _item(answer: Answer, draws: Draws) -> dict[str, Any]:
    text = orjson.Fragment(b'"%b"' % b"".join(answer.pieces))
    status = "incomplete" if answer.finish in _REASONS else "completed"
    if answer.kind == "tool":
        return {
            "id": f"fc_{draws.identity:08x}",
            "type": "function_call",
            "status": status,
            "call_id": f"call_{draws.identity:08x}",
            "name": orjson.Fragment(answer.tool),
            "arguments": text,
        }
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if answer.kind == "refusal":
        part = {"type": "refusal", "refusal": text}
    return {
        "id": f"msg_{draws.identity:08x}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part],
    }


def _event(name: str, number: int, fields: dict[str, Any]) -> bytes:
    data = orjson.dumps({"type": f"response.{name}", "sequence_number": number, **fields})
    return b"event: response.%b\ndata: %b\n\n" % (name.encode(), data)


def _token(kind: str, number: int, where: dict[str, Any], piece: bytes, *, logprobs: bool) -> bytes:
    fields = {**where, "delta": orjson.Fragment(b'"%b"' % piece)}
    return _event(f"{kind}.delta", number, {**fields, "logprobs": []} if logprobs else fields)
