"""Anthropic's `/v1/messages`: a version's instructions put into `system`, its other messages into `messages`.

    "system":   "ours, then the client's own"           a string stays a string
    "system":   [{"type":"text","text":"ours"}, …]      blocks stay blocks, with their cache_control
    "messages": [ours: few-shot and user messages…, {"role":"user",…}, …]

There is one place for instructions, at the front, so all of a version's system and developer messages go
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.domain.prompt import Content
from gateway.errors import GatewayError, InvalidValue, SystemMessageRefused
from gateway.wire.api import Injected, Recipe, Request
from gateway.wire.error_body import anthropic_error, event
from gateway.wire.messages_events import MessagesScanner
from gateway.wire.options import Option, apply_options, check_reserved, compile_options
from gateway.wire.reading import beginning, decode_list, model_of, short, stream_of, text_json
from gateway.wire.splice import Edit, Fields, elements, gaps, replace
from gateway.wire.usage import Answer, finish_word, parse_usage

PATH = b"/v1/messages"

BETWEEN = rb"\n\n"  # our instructions and the client's, as JSON text
_NAMES = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "reasoning_effort": "output_config.effort",
}
_SYSTEM = ("system", "developer")
_ENCODER = msgspec.json.Encoder()


class _Turn(msgspec.Struct, gc=False):
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw()


_TURNS = msgspec.json.Decoder(list[_Turn])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_BLOCKS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class OwnTurns(NamedTuple):
    """A version's rendered messages: the instructions as the inside of a JSON string, the other messages
    without brackets."""

    system: bytes
    turns: bytes


def session_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """See `api.Api`: the user is in `metadata.user_id`, and no request refers to an earlier answer."""
    return tuple(
        "metadata.user_id" if source == "user" else source
        for source in sources
        if source not in ("previous_response_id", "conversation", "safety_identifier", "prompt_cache_key")
    )


def recipe(content: Content, name: str) -> Recipe:
    """See `api.Api`. A response schema is `output_config.format` here, and has no name."""
    model = content.model
    check_reserved(model, "messages", "system")
    options = [o for o in compile_options(model, _NAMES, {}) if o.field != "response_format"]
    schema: Any = content.outputs
    if schema is None:
        schema = _schema_of(model.options.get("response_format"))
    if schema is not None:
        form = _ENCODER.encode({"type": "json_schema", "schema": schema})
        options.append(Option("output_config", form, "response_format" in model.locked, "format"))
    return Recipe(
        model=model.id,
        model_json=None if model.id is None else _ENCODER.encode(model.id),
        options=tuple(options),
        client_system=content.client_system,
        system_role=None,
        prefers="system",
    )


def _schema_of(form: Any) -> Any:
    """The schema of chat's `response_format`; None for other forms, which have no counterpart."""
    inner = form.get("json_schema") if isinstance(form, dict) else None
    return inner.get("schema") if isinstance(inner, dict) else None


def encode_messages(messages: Sequence[tuple[str, str]]) -> OwnTurns:
    """See `api.Api`."""
    system = text_json("\n\n".join(text for role, text in messages if role in _SYSTEM and text))
    turns = [
        b'{"role":%b,"content":%b}' % (text_json(role), text_json(text))
        for role, text in messages
        if role not in _SYSTEM
    ]
    return OwnTurns(system[1:-1], b",".join(turns))


def inspect(fields: Fields) -> Request:
    """See `api.Api`. An assistant message at the end is no turn of the model's but how its answer begins."""
    raw = fields.get("messages")
    turns: list[_Turn] = [] if raw is None else decode_list(raw, _TURNS, "messages")
    user = next((turn for turn in turns if turn.role == "user"), None)
    has_system = not fields.is_null("system")
    return Request(
        stream=stream_of(fields),
        model=model_of(fields),
        messages=len(turns),
        has_assistant_turn=any(turn.role == "assistant" for turn in turns[:-1]),
        system_role="system" if has_system or any(turn.role in _SYSTEM for turn in turns) else None,
        first_system=_steady(fields.get("system") or msgspec.Raw()) if has_system else b"",
        first_user=b"" if user is None else _steady(user.content),
    )


def _steady(content: msgspec.Raw) -> bytes:
    """Content without `cache_control`, which clients move from turn to turn; a text block is its text."""
    if not _begins(content, b"["):
        return beginning(content)
    try:
        blocks = _BLOCKS.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return beginning(content)  # the provider says best what it does not understand
    parts = []
    for block in blocks:
        block.pop("cache_control", None)
        if block.keys() == {"type", "text"}:
            parts.append(beginning(block["text"]))
        else:
            parts += [key.encode() + b":" + beginning(value) for key, value in block.items()]
    return b"\0".join(parts)


def inject(
    fields: Fields, request: Request, recipe: Recipe, own: OwnTurns, *, ask_usage: bool = False
) -> Injected:
    """See `api.Api`; usage comes without being asked for."""
    edits: dict[str, bytes | None] = {}
    inside: list[Edit] = []
    if request.system_role is not None and recipe.client_system == "refuse":
        raise SystemMessageRefused(
            "this prompt takes no system text from the client: remove it",
            param="messages" if fields.is_null("system") else "system",
        )
    replacing = recipe.client_system == "replace"
    _add_system(fields, own.system, edits, inside, replacing=replacing)
    _add_turns(fields, request, own.turns, edits, inside, replacing=replacing)
    if recipe.model_json is not None:
        edits["model"] = recipe.model_json
    apply_options(fields, recipe.options, edits)
    if "prompt" in fields:
        edits["prompt"] = None
    return Injected(replace(fields, edits, inside), False)


def _add_system(
    fields: Fields, ours: bytes, edits: dict[str, bytes | None], inside: list[Edit], *, replacing: bool
) -> None:
    raw = fields.get("system")
    if raw is None or fields.is_null("system") or replacing or bytes(raw) == b'""':
        if ours:
            edits["system"] = b'"%b"' % ours
        elif replacing and raw is not None:
            edits["system"] = None
        return
    start = fields.spans["system"][1] + 1
    if _begins(raw, b'"'):
        if ours:
            inside.append((start, start, (ours, BETWEEN)))
    elif _begins(raw, b"["):
        if ours:
            block = b'{"type":"text","text":"%b"}' % ours
            empty = not decode_list(raw, _ELEMENTS, "system")
            inside.append((start, start, (block,) if empty else (block, b",")))
    else:
        raise InvalidValue(
            f"system must be a string or an array of text blocks, not {short(bytes(raw))}", param="system"
        )


def _add_turns(
    fields: Fields,
    request: Request,
    ours: bytes,
    edits: dict[str, bytes | None],
    inside: list[Edit],
    *,
    replacing: bool,
) -> None:
    if request.messages == 0:
        if ours:
            edits["messages"] = b"[" + ours + b"]"
        return
    raw = fields.get("messages") or msgspec.Raw()
    gone = [replacing and turn.role in _SYSTEM for turn in _TURNS.decode(raw)]
    if ours:
        start = fields.spans["messages"][1] + 1
        inside.append((start, start, (ours,) if all(gone) else (ours, b",")))
    if any(gone):
        inside += [(*gap, ()) for gap in gaps(elements(fields, "messages", _ELEMENTS.decode(raw)), gone)]


def _begins(raw: msgspec.Raw, with_: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == with_


def scanner(*, strip_usage: bool = False) -> MessagesScanner:
    return MessagesScanner()


class _Message(msgspec.Struct):
    usage: Any = None
    stop_reason: Any = None
    error: Any = None


_MESSAGE = msgspec.json.Decoder(_Message)


def read_answer(body: bytes) -> Answer | None:
    """See `api.Api`."""
    try:
        found = _MESSAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Answer(parse_usage(found.usage), finish_word(found.stop_reason), found.error)


def error_body(error: GatewayError) -> bytes:
    return _ENCODER.encode(anthropic_error(error))


def sse_error(error: GatewayError) -> bytes:
    return event(b"error", anthropic_error(error))
