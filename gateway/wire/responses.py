"""`/v1/responses`: a version's instructions and messages put into `instructions` and `input`.

    "instructions": "ours, then the client's own"
    "input":        [ours: few-shot and user messages…, {"role":"user",…}, …]   a string becomes an item

Instructions count for one response, so every request gets them. `input` is added to what the provider keeps:
where it keeps a history (`previous_response_id`, `conversation`), our messages are in it already or would
pile up, so only the instructions are put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.domain.prompt import Content
from gateway.errors import GatewayError, InvalidValue, SystemMessageRefused
from gateway.wire.api import Injected, Recipe, Request, SystemRole
from gateway.wire.error_body import error_body, event, openai_error
from gateway.wire.options import Option, apply_options, check_reserved, compile_options
from gateway.wire.reading import beginning, decode_list, model_of, short, stream_of, text_json
from gateway.wire.responses_events import ResponsesScanner, outcome
from gateway.wire.splice import Edit, Fields, elements, gaps, replace
from gateway.wire.usage import Answer

__all__ = [
    "PATH",
    "encode_messages",
    "error_body",
    "inject",
    "inspect",
    "read_answer",
    "recipe",
    "scanner",
    "session_sources",
    "sse_error",
]

PATH = b"/v1/responses"

BETWEEN = rb"\n\n"  # our instructions and the client's, as JSON text
_NAMES = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
_HISTORY = ("previous_response_id", "conversation")
# Output of an earlier response that a client without stored responses sends again.
_OUTPUT_TYPES = frozenset({"reasoning", "function_call", "custom_tool_call", "item_reference", "compaction"})
_ENCODER = msgspec.json.Encoder()


class _Item(msgspec.Struct, gc=False):
    role: str | None = None
    type: str | None = None
    content: msgspec.Raw = msgspec.Raw()


_ITEMS = msgspec.json.Decoder(list[_Item])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class OwnInput(NamedTuple):
    """A version's rendered messages: the instructions as the inside of a JSON string, the other messages as
    items without brackets."""

    instructions: bytes
    items: bytes


def session_sources(sources: Sequence[str]) -> tuple[str, ...]:
    return tuple(sources)


def recipe(content: Content, name: str) -> Recipe:
    """See `api.Api`. Chat's `response_format` is `text.format` here, without its inner object."""
    model = content.model
    check_reserved(model, "input", "instructions", "messages")
    options = compile_options(model, _NAMES, {})
    plain = [option for option in options if option.field != "response_format"]
    form = model.options.get("response_format")
    if content.outputs is not None:
        schema = {"name": name.replace(".", "_"), "schema": content.outputs}
        form = {"type": "json_schema", "json_schema": schema}
    if isinstance(form, dict):
        plain.append(Option("text", _format(form), "response_format" in model.locked, "format"))
    return Recipe(
        model=model.id,
        model_json=None if model.id is None else _ENCODER.encode(model.id),
        options=tuple(plain),
        client_system=content.client_system,
        system_role=None,
        prefers="system",
    )


def _format(chat: dict[str, Any]) -> bytes:
    inner = chat.get("json_schema")
    if isinstance(inner, dict):
        chat = {"type": chat.get("type"), **inner}
    return _ENCODER.encode(chat)


def encode_messages(messages: Sequence[tuple[str, str]]) -> OwnInput:
    """See `api.Api`. The leading system and developer messages are the instructions; one that comes later
    keeps its place among the items."""
    leading = 0
    while leading < len(messages) and messages[leading][0] in ("system", "developer"):
        leading += 1
    instructions = text_json("\n\n".join(text for _, text in messages[:leading] if text))
    items = [b'{"role":%b,"content":%b}' % (text_json(r), text_json(t)) for r, t in messages[leading:]]
    return OwnInput(instructions[1:-1], b",".join(items))


def inspect(fields: Fields) -> Request:
    """See `api.Api`."""
    items = _items(fields)
    system = next((item for item in items if item.role in ("system", "developer")), None)
    user = next((item for item in items if item.role == "user"), None)
    role: SystemRole | None = None
    first_system = b""
    if system is not None:
        role = "system" if system.role == "system" else "developer"
        first_system = beginning(system.content)
    if not fields.is_null("instructions"):
        role = role or "system"
        first_system = beginning(fields.get("instructions") or msgspec.Raw())
    answered = any(item.role == "assistant" or item.type in _OUTPUT_TYPES for item in items)
    return Request(
        stream=stream_of(fields),
        model=model_of(fields),
        messages=len(items),
        has_assistant_turn=answered or not fields.is_null("previous_response_id"),
        system_role=role,
        first_system=first_system,
        first_user=b"" if user is None else beginning(user.content),
    )


def _items(fields: Fields) -> list[_Item]:
    """A string is one message of the user."""
    raw = fields.get("input")
    if raw is None or fields.is_null("input"):
        return []
    if _is_string(raw):
        return [_Item("user", "message", raw)]
    return decode_list(raw, _ITEMS, "input")


def inject(
    fields: Fields, request: Request, recipe: Recipe, own: OwnInput, *, ask_usage: bool = False
) -> Injected:
    """See `api.Api`; usage comes without being asked for."""
    edits: dict[str, bytes | None] = {}
    inside: list[Edit] = []
    if request.system_role is not None and recipe.client_system == "refuse":
        raise SystemMessageRefused(
            "this prompt takes no instructions from the client: remove instructions and system messages",
            param="input" if fields.is_null("instructions") else "instructions",
        )
    replacing = recipe.client_system == "replace"
    _add_instructions(fields, own, edits, inside, replacing=replacing)
    _add_items(fields, request, own, edits, inside, replacing=replacing)
    if recipe.model_json is not None:
        edits["model"] = recipe.model_json
    apply_options(fields, recipe.options, edits)
    if "prompt" in fields:
        edits["prompt"] = None
    return Injected(replace(fields, edits, inside), False)


def _add_instructions(
    fields: Fields, own: OwnInput, edits: dict[str, bytes | None], inside: list[Edit], *, replacing: bool
) -> None:
    ours = own.instructions
    raw = fields.get("instructions")
    if raw is None or fields.is_null("instructions") or bytes(raw) == b'""':
        if ours:
            edits["instructions"] = b'"%b"' % ours
        return
    if replacing:
        edits["instructions"] = b'"%b"' % ours if ours else None
        return
    if not _is_string(raw):
        raise InvalidValue(f"instructions must be a string, not {short(bytes(raw))}", param="instructions")
    if ours:
        start = fields.spans["instructions"][1] + 1
        inside.append((start, start, (ours, BETWEEN)))


def _add_items(
    fields: Fields,
    request: Request,
    own: OwnInput,
    edits: dict[str, bytes | None],
    inside: list[Edit],
    *,
    replacing: bool,
) -> None:
    ours = b"" if any(not fields.is_null(name) for name in _HISTORY) else own.items
    raw = fields.get("input")
    if raw is None or request.messages == 0:
        if ours:
            edits["input"] = b"[" + ours + b"]"
        return
    _, start, end = fields.spans["input"]
    if _is_string(raw):
        if ours:
            inside.append((start, start, (b"[", ours, b',{"role":"user","content":')))
            inside.append((end, end, (b"}]",)))
        return
    gone = [replacing and item.role in ("system", "developer") for item in _ITEMS.decode(raw)]
    if ours:
        inside.append((start + 1, start + 1, (ours,) if all(gone) else (ours, b",")))
    if any(gone):
        inside += [(*gap, ()) for gap in gaps(elements(fields, "input", _ELEMENTS.decode(raw)), gone)]


def _is_string(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b'"'


def scanner(*, strip_usage: bool = False) -> ResponsesScanner:
    return ResponsesScanner()


class _Response(msgspec.Struct):
    id: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None


_RESPONSE = msgspec.json.Decoder(_Response)


def read_answer(body: bytes) -> Answer | None:
    """See `api.Api`."""
    try:
        found = _RESPONSE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return outcome(msgspec.structs.asdict(found))


def sse_error(error: GatewayError) -> bytes:
    """The API's own `error` event has code, message and param at its top level; the SDKs raise only for the
    object `error`, which the provider sends as well."""
    said = openai_error(error)
    return event(
        b"error",
        {
            "type": "error",
            "sequence_number": 0,
            "code": said["code"],
            "message": said["message"],
            "param": said["param"],
            "error": said,
        },
    )
