"""What was asked and what was answered, in words: for judges and safety checks, never for the way of a
request.

Turns become `role: text`, calls of tools `[tool name arguments]`; images, audio and files are left out,
and what has another shape than expected says nothing. Both are cut to bytes of UTF-8: a question keeps its
end, where the user's last words are, an answer its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from gateway.wire.splice import LARGE, Fields

USER = "user"
TURNS = ("messages", "input")  # chat and messages; responses
_REFUSAL = re.compile(rb'"refusal"\s*:\s*"[^"]')
MOST_PARTS = 10_000  # of one conversation


class _Answer(msgspec.Struct, gc=False):
    """Chat has choices, responses an output, messages a content."""

    choices: Any = None
    output: Any = None
    content: Any = None


class _Turn(msgspec.Struct, gc=False):
    role: Any = None
    content: msgspec.Raw = msgspec.Raw(b"")


_ANSWER = msgspec.json.Decoder(_Answer)
_ROLES = msgspec.json.Decoder(list[_Turn])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class Asked(NamedTuple):
    """The client's conversation in words, and how many messages of its user are in it (0: not counted)."""

    text: str
    turns: int


def asked_of(fields: Fields, most: int, *, count: bool) -> Asked:
    """As `question_of`."""
    for name in TURNS:
        raw = fields.values.get(name)
        if raw is not None:
            return Asked(question_of(fields, most), user_turns(raw) if count else 0)
    return Asked("", 0)


def user_turns(raw: msgspec.Raw) -> int:
    """What a user said in a conversation; results of tools, which some APIs send as the user's, are not."""
    try:
        turns = _ROLES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1  # a string
    return sum([turn.role == "user" and b'"tool_result"' not in bytes(turn.content) for turn in turns])


def question_of(fields: Fields, most: int) -> str:
    """The client's conversation, its last `most` bytes; the version's own messages are not in it."""
    for name in TURNS:
        raw = fields.values.get(name)
        if raw is not None:
            turns = _turns(_decoded(raw), most) if len(raw) <= LARGE else _newest(raw, most)
            return last_bytes("\n\n".join(turns), most)
    return ""


def conversation_of(fields: Fields, most: int) -> list[tuple[str, str]]:
    """The same as (role, text), the newest turns that have `most` bytes together; the last one may be cut."""
    for name in TURNS:
        raw = fields.values.get(name)
        if raw is not None:
            return _last_turns(_decoded(raw), most)
    return []


def _last_turns(turns: Any, most: int) -> list[tuple[str, str]]:
    said = [(USER, turns)] if isinstance(turns, str) else list(_spoken(turns))
    found: list[tuple[str, str]] = []
    for role, text in reversed(said):
        kept = last_bytes(text, most)
        found.append((role or USER, kept))
        most -= len(kept.encode("utf-8", "replace"))
        if most <= 0:
            break
    return found[::-1]


def _newest(raw: msgspec.Raw, most: int) -> Iterable[str]:
    """Of a long conversation the turns that make up its last `most` bytes; no other is decoded."""
    try:
        elements = _ELEMENTS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _turns(_decoded(raw), most)  # a string
    found: list[str] = []
    left = most
    for element in reversed(elements[-MOST_PARTS:]):
        for said in _turns([_decoded(element)], most):
            found.append(said)
            left -= len(said)
        if left < 0:
            break
    return reversed(found)


def answer_of(body: bytes, most: int) -> str:
    """What a whole response says, its first `most` bytes; "" if it cannot be read as one."""
    try:
        found = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    said: list[str] = []
    first = found.choices[0] if isinstance(found.choices, list) and found.choices else None
    if isinstance(first, dict):
        said += said_by_message(first.get("message"))
    for item in found.output if isinstance(found.output, list) else ():
        said += _item(item)
    said += said_by_content(found.content)
    return first_bytes("".join(said), most)


def refused(body: bytes) -> bool:
    """Whether a whole answer says by a field of its own that the model refuses."""
    return _REFUSAL.search(body) is not None


def first_bytes(text: str, most: int) -> str:
    raw = text[:most].encode("utf-8", "replace")
    return text if len(raw) <= most and len(text) <= most else raw[:most].decode("utf-8", "ignore")


def last_bytes(text: str, most: int) -> str:
    raw = text[-most:].encode("utf-8", "replace")
    return text if len(raw) <= most and len(text) <= most else raw[-most:].decode("utf-8", "ignore")


def said_by_message(message: Any) -> Iterator[str]:
    """A chat message, or the delta of one."""
    if not isinstance(message, dict):
        return
    yield from said_by_content(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str):
        yield refusal
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield from _call(function.get("name"), function.get("arguments"))


def said_by_content(content: Any) -> Iterator[str]:
    """A string, or a list of blocks."""
    if isinstance(content, str):
        yield content
    for block in content[:MOST_PARTS] if isinstance(content, list) else ():
        yield from said_by_block(block)


def said_by_block(block: Any) -> Iterator[str]:
    """A block of a content, or a call of a tool; one of a stream may still be empty."""
    if not isinstance(block, dict):
        return
    for name in ("text", "refusal"):
        if isinstance(block.get(name), str):
            yield block[name]
    if isinstance(block.get("name"), str):
        yield from _call(block["name"], block.get("arguments") or block.get("input"))
    elif block.get("type") in ("tool_result", "function_call_output"):
        yield from said_by_content(block.get("content") or block.get("output"))


def _item(item: Any) -> Iterator[str]:
    """An item of a response's output, or of its input."""
    if isinstance(item, dict) and item.get("type", "message") == "message":
        yield from said_by_content(item.get("content"))
    else:
        yield from said_by_block(item)


def _turns(turns: Any, most: int) -> Iterator[str]:
    """Each at least with its last `most` characters."""
    if isinstance(turns, str):
        yield turns[-most:]
        return
    for role, text in _spoken(turns):
        yield f"{role}: {text[-most:]}" if role is not None else text[-most:]


def _spoken(turns: Any) -> Iterator[tuple[str | None, str]]:
    """Role and text of each turn that says anything."""
    for turn in turns[-MOST_PARTS:] if isinstance(turns, list) else ():
        if not isinstance(turn, dict):
            continue
        role = turn.get("role")
        text = "".join(said_by_message(turn) if "tool_calls" in turn else _item(turn))
        if text:
            yield (role if isinstance(role, str) else None), text


def _call(name: Any, arguments: Any) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        if isinstance(arguments, str):
            yield arguments  # the next piece of a streamed call
        return
    if isinstance(arguments, dict | list):
        arguments = msgspec.json.encode(arguments).decode() if arguments else ""
    yield f"[tool {name}] {arguments if isinstance(arguments, str) else ''}"


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
