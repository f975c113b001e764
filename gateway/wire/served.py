"""Which answer it was and which model gave it, as the provider says at its beginning: for spans only."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

MOST_OPENING = 64 * 1024  # bytes of an event stream in which it is looked for
MOST_EVENTS = 8  # pieces with an end of an event
LONGEST = 200  # characters


class Served(NamedTuple):
    id: str | None = None
    model: str | None = None


class _Named(msgspec.Struct):
    id: Any = None
    model: Any = None


class _Opening(_Named):
    """Chat has both at the top; a stream of messages in `message`, of responses in `response`."""

    message: _Named | None = None
    response: _Named | None = None


_OPENING = msgspec.json.Decoder(_Opening)


def served(answer: bytes) -> Served:
    """`answer` is a whole JSON answer, or what an event stream begins with.

    >>> served(b'{"id": "a1", "model": "m-2", "choices": []}')
    Served(id='a1', model='m-2')
    >>> served(b'event: message_start\\ndata: {"message": {"id": "a1", "model": "m-2"}}\\n\\ndata: {"mo')
    Served(id='a1', model='m-2')
    """
    if answer.lstrip()[:1] == b"{":
        return _read(answer) or Served()
    data = (line[5:] for line in answer.splitlines() if line.startswith(b"data:"))
    return next((found for each in data if (found := _read(each)) is not None), Served())


def _read(text: bytes) -> Served | None:
    try:
        opening = _OPENING.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    named = opening.message or opening.response or opening
    found = Served(_word(named.id), _word(named.model))
    return None if found == Served() else found  # Azure's first chunk has both, empty


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST else None
