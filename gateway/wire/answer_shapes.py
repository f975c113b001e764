"""What is decoded of answers: event streams, and whole ones. Interpreted, as `shapes` is.

Each struct names the members that the gateway looks at; all others are skipped by the decoder.
"""

from typing import Any

import msgspec

NOTHING = msgspec.Raw(b"null")


class Delta(msgspec.Struct, gc=False):
    content: msgspec.Raw = NOTHING
    tool_calls: msgspec.Raw = NOTHING
    reasoning_content: msgspec.Raw = NOTHING
    reasoning: msgspec.Raw = NOTHING
    refusal: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    audio: msgspec.Raw = NOTHING


class OpeningChoice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    finish_reason: Any = None


class Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None


class Opening(msgspec.Struct, gc=False):
    """A chunk of a chat completion until its first token."""

    choices: list[OpeningChoice] | None = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """After the first token deltas are not looked at. A whole completion is read so too."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


class Said(msgspec.Struct, gc=False):
    index: Any = 0
    delta: Any = None


class Telling(msgspec.Struct, gc=False):
    """A chunk whose words are wanted."""

    choices: list[Said] | None = None


class ResponsesEvent(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    item: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


class MessagesEvent(msgspec.Struct, gc=False):
    type: Any = None
    message: Any = None
    content_block: Any = None
    delta: Any = None
    usage: Any = None
    error: Any = None
