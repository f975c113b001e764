"""`/v1/chat/completions`: read what the gateway must know, put a version's messages and options in.

    ours, rendered and encoded          the client's array, its bytes kept
    [{"role":"system",…},{…few-shot…},  {"role":"user",…}, …]

Only `messages`, `model`, the version's options, `response_format`, `stream_options` and `prompt` are ever
touched, and only where the version or the gateway has something to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.domain.prompt import Content
from gateway.errors import InvalidJson, InvalidValue, SystemMessageRefused
from gateway.wire.api import Injected, Recipe, Request, SystemRole
from gateway.wire.chat_events import ChatScanner
from gateway.wire.error_body import error_body, sse_error
from gateway.wire.options import Option, apply_options, check_reserved, compile_options
from gateway.wire.reading import beginning, decode_list, model_of, stream_of
from gateway.wire.shapes import Turn
from gateway.wire.splice import Edit, Fields, elements, gaps, replace, split
from gateway.wire.usage import read_answer

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

PATH: Final = b"/v1/chat/completions"

# Reasoning models take instructions from `developer` messages; a provider prefix or `ft:` may stand before.
_WANTS_DEVELOPER: Final = re.compile(r"(?:^|[/:])(?:o[1-9](?:-|$)|gpt-5)")
# Two names of one limit: a client that sets either has chosen, and sending both is refused upstream.
_SYNONYMS: Final = {"max_tokens": ("max_completion_tokens",), "max_completion_tokens": ("max_tokens",)}
_USAGE: Final = b'{"include_usage":true}'


_TURNS = msgspec.json.Decoder(list[Turn])
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()


class OwnMessages(NamedTuple):
    """A version's rendered messages as JSON text without brackets, once for each kind of system message."""

    system: bytes
    developer: bytes


def scanner(*, strip_usage: bool = False) -> ChatScanner:
    return ChatScanner(strip_usage=strip_usage)


def session_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """See `api.Api`: a chat request refers to no response."""
    return tuple(source for source in sources if source != "previous_response_id")


def encode_messages(messages: Sequence[tuple[str, str]]) -> OwnMessages:
    """`messages` are (role, text); a lone surrogate in a text is an `InvalidValue`."""
    try:
        return OwnMessages(_encode(messages, "system"), _encode(messages, "developer"))
    except UnicodeEncodeError as error:
        raise InvalidValue("a message of the prompt holds a lone surrogate, which is no character") from error


def recipe(content: Content, name: str) -> Recipe:
    """Compile a version's content; `name` is the prompt's, it names the response schema. Raises
    `InvalidValue` for an option that is no option."""
    model = content.model
    check_reserved(model, "messages")
    options = compile_options(model, {}, _SYNONYMS)
    if content.outputs is not None:
        options = [option for option in options if option.field != "response_format"]
        options.append(_response_format(content.outputs, name, "response_format" in model.locked))
    own = [message.role for message in content.messages if message.role in ("system", "developer")]
    prefers: SystemRole = "developer" if own[:1] == ["developer"] else "system"
    wanted = None if model.id is None else _role_for(model.id, prefers)
    return Recipe(
        model=model.id,
        model_json=None if model.id is None else _ENCODER.encode(model.id),
        options=tuple(options),
        client_system=content.client_system,
        system_role=wanted,
        prefers=prefers,
    )


def _response_format(schema: dict[str, object], name: str, locked: bool) -> Option:
    named = {"name": name.replace(".", "_"), "schema": schema}
    value = _ENCODER.encode({"type": "json_schema", "json_schema": named})
    return Option("response_format", value, locked)


def inspect(fields: Fields) -> Request:
    """Raises `InvalidValue` for a field of the wrong type and `DuplicateKey` for a repeated one."""
    raw = fields.get("messages")
    turns: list[Turn] = [] if raw is None else decode_list(raw, _TURNS, "messages")
    has_assistant = False
    system: Turn | None = None
    user: Turn | None = None
    for turn in turns:
        role = turn.role
        if role == "assistant":
            has_assistant = True
        elif user is None and role == "user":
            user = turn
        elif system is None and role in ("system", "developer"):
            system = turn
    return Request(
        stream=stream_of(fields),
        model=model_of(fields),
        messages=len(turns),
        has_assistant_turn=has_assistant,
        system_role=None if system is None else "system" if system.role == "system" else "developer",
        first_system=b"" if system is None else beginning(system.content),
        first_user=b"" if user is None else beginning(user.content),
    )


def inject(
    fields: Fields, request: Request, recipe: Recipe, own: OwnMessages, *, ask_usage: bool = False
) -> Injected:
    """The body for the upstream. With `ask_usage`, a streamed request that does not ask for usage does now.

    Raises `SystemMessageRefused` where the version refuses a client's own system message, `InvalidValue` and
    `DuplicateKey` for what cannot be merged.
    """
    edits: dict[str, bytes | None] = {}
    inside: list[Edit] = []
    _add_messages(fields, request, recipe, own, edits, inside)
    if recipe.model_json is not None:
        edits["model"] = recipe.model_json
    apply_options(fields, recipe.options, edits)
    if "prompt" in fields:
        edits["prompt"] = None
    asked = ask_usage and request.stream and _ask_usage(fields, edits)
    return Injected(replace(fields, edits, inside), asked)


def _add_messages(
    fields: Fields,
    request: Request,
    recipe: Recipe,
    own: OwnMessages,
    edits: dict[str, bytes | None],
    inside: list[Edit],
) -> None:
    if request.system_role is not None and recipe.client_system == "refuse":
        raise SystemMessageRefused(
            f"this prompt takes no {request.system_role} message from the client: remove it", param="messages"
        )
    replacing = request.system_role is not None and recipe.client_system == "replace"
    role = (None if replacing else request.system_role) or recipe.system_role
    if role is None:
        role = _role_for(request.model or "", recipe.prefers)
    ours = own.system if role == "system" else own.developer
    if request.messages == 0:
        edits["messages"] = b"[" + ours + b"]"
        return
    start = fields.spans["messages"][1] + 1
    if not replacing:
        inside.append((start, start, (ours, b",")))
        return
    raw = fields.get("messages") or msgspec.Raw()
    gone = [turn.role in ("system", "developer") for turn in _TURNS.decode(raw)]
    inside.append((start, start, (ours,) if all(gone) else (ours, b",")))
    inside += [(*gap, ()) for gap in gaps(elements(fields, "messages", _ELEMENTS.decode(raw)), gone)]


def _ask_usage(fields: Fields, edits: dict[str, bytes | None]) -> bool:
    """Merge include_usage into stream_options; False if the client asks already, or sent no object there."""
    if fields.is_null("stream_options"):
        edits["stream_options"] = _USAGE
        return True
    try:
        options = split(bytes(fields.get("stream_options") or b""), what="stream_options")
    except (InvalidValue, InvalidJson):
        return False  # the provider says best what is wrong with it
    wish = options.get("include_usage")
    if wish is not None and bytes(wish) == b"true":
        return False
    edits["stream_options"] = b"".join(replace(options, {"include_usage": b"true"}))
    return True


def _encode(messages: Sequence[tuple[str, str]], kind: SystemRole) -> bytes:
    return b",".join(
        _ENCODER.encode({"role": kind if role in ("system", "developer") else role, "content": text})
        for role, text in messages
    )


def _role_for(model: str, otherwise: SystemRole) -> SystemRole:
    return "developer" if _WANTS_DEVELOPER.search(model[:256]) else otherwise
