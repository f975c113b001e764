r"""A tee on an event stream: it reads what passes and changes nothing.

Events end at a blank line; lines end in LF, CRLF or CR (WHATWG HTML, section 9.2.6), and a chunk may end
anywhere, between CR and LF too. A CR at the end of what is there is therefore not yet a line's end.

Here is the framing; what events say differs from API to API: `chat_events`, `responses_events`,
`messages_events`. A subclass may hold events back (`_holding`), to take one out; from then on they are
forwarded when they are whole. An event above 1 MiB is relayed in pieces and not read.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.wire.usage import Usage
from gateway.wire.written import CR

MAX_EVENT: Final = 1024 * 1024
MOST_TEXT: Final = 64 * 1024
BOM: Final = b"\xef\xbb\xbf"

# Two line ends. CR before LF is one end, never two, hence the three branches; each begins with a literal, so
# that the search skips ahead.
_BOUNDARY: Final = re.compile(rb"\r\n(?:\r\n?|\n)|\n(?:\r\n?|\n)|\r\r\n?")
_LINE: Final = re.compile(rb"\r\n|\n|\r")


class EventScanner:
    """Feed it every chunk and forward what it returns; what it found out is in its attributes.

    events          events with data so far, `[DONE]` not counted
    first_token     whether content, reasoning, a tool call, a refusal or audio has passed
    finish_reason   the last one given, in chat's words (see `usage.finish_word`)
    usage           the last one given
    error           the value of an in-band `error`
    response_id     what a later request may refer to (`/v1/responses`)
    done            whether the stream has said that it is complete
    unread          events that were too large or no JSON object of the expected kind
    refused         whether the model said by a field of its own that it refuses; known only with `text`
    text            what the answer says, in pieces, if it is set to a list before the first event; up to
                    `MOST_TEXT` characters
    """

    __slots__ = (
        "_has_cr",
        "_holding",
        "_pending",
        "_room",
        "_skipping",
        "_started",
        "done",
        "error",
        "events",
        "finish_reason",
        "first_token",
        "refused",
        "response_id",
        "text",
        "unread",
        "usage",
    )

    def __init__(self) -> None:
        self.events = 0
        self.first_token = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.error: Any = None
        self.response_id: str | None = None
        self.done = False
        self.unread = 0
        self.refused = False
        self.text: list[str] | None = None
        self._room = MOST_TEXT
        self._holding = False
        self._has_cr = False  # lines may end in CR: look for all kinds of ends
        self._started = False
        self._skipping = False  # inside of an event above the limit; `_pending` has its last bytes only
        self._pending = bytearray()  # the incomplete event; already forwarded unless `_holding`

    def feed(self, chunk: bytes) -> bytes:
        """What to forward now: the chunk itself, unless events are held back or taken out."""
        if self._holding:
            return self._feed_held(chunk)
        one_event = chunk.endswith(b"\n\n") and chunk.find(b"\n") == len(chunk) - 2 and CR not in chunk
        if not one_event or self._pending or self._has_cr:
            return self._feed_passing(chunk)
        self._event(chunk)
        return chunk

    def _feed_passing(self, chunk: bytes) -> bytes:
        before = len(self._pending)
        data, search = self._join(chunk)
        start = 0
        while end := self._event_end(data, search):
            self._event(data[start:end] if start or end < len(data) else data)
            start = search = end
            if self._holding:
                self._pending = bytearray()
                return chunk[: end - before] + self._feed_held(chunk[end - before :])
        if start < len(data) or before:
            self._keep(data, start)
        return chunk

    def finish(self) -> bytes:
        """The stream has ended: what was held back. An event without its blank line is read all the same."""
        event = bytes(self._pending)
        holding = self._holding
        self._pending = bytearray()
        if event and not self._skipping and self._event(event):
            event = self._reduced(event)
        return event if holding else b""

    def _feed_held(self, chunk: bytes) -> bytes:
        data, search = self._join(chunk)
        start = 0
        forward = []
        while end := self._event_end(data, search):
            event = bytes(data[start:end])
            forward.append(self._reduced(event) if self._event(event) else event)
            start = search = end
            if not self._holding:  # the stream is done
                self._pending = bytearray()
                return b"".join(forward) + self.feed(bytes(data[end:]))
        if len(data) - start > MAX_EVENT:  # too large to hold: it goes out unread
            self._holding = False
            forward.append(bytes(data[start:]))
        self._keep(data, start)
        return b"".join(forward)

    def _join(self, chunk: bytes) -> tuple[bytes | bytearray, int]:
        """All that has not been read, and where a boundary may begin in it."""
        if not self._has_cr and CR in chunk:
            self._has_cr = True
        pending = self._pending
        if not pending:
            return chunk, 0
        search = max(0, len(pending) - 3)
        pending += chunk
        return pending, search

    def _keep(self, data: bytes | bytearray, start: int) -> None:
        size = len(data) - start
        if self._skipping or size > MAX_EVENT:
            self._skipping = True
            self._pending = bytearray(data[-min(size, 3) :] if size else b"")
        elif start or data is not self._pending:
            self._pending = bytearray(data[start:])

    def _event_end(self, data: bytes | bytearray, search: int) -> int:
        """Where the first event ends that is complete, 0 if none is."""
        if not self._has_cr:
            # Line ends are few; finding one byte is three times as fast as finding two.
            found = data.find(b"\n", search)
            while found >= 0 and not data.startswith(b"\n", found + 1):
                found = data.find(b"\n", found + 1)
            return found + 2 if found >= 0 else 0
        match = _BOUNDARY.search(data, search)
        if match is None or (match.end() == len(data) and data.endswith(b"\r")):
            return 0
        return match.end()

    def _event(self, event: bytes | bytearray) -> bool:
        if self._skipping or len(event) > MAX_EVENT:
            self._skipping = False
            self.events += 1
            self.unread += 1
            self._too_large()
            return False
        return self._read(event)

    def _read(self, event: bytes | bytearray) -> bool:
        """Note what an event says; True if it has a part that is to be taken out (`_reduced`)."""
        raise NotImplementedError

    def _reduced(self, event: bytes) -> bytes:
        """What is left of an event of which `_read` said True."""
        return event

    @property
    def _listens(self) -> bool:
        """Whether more of the answer's text is wanted."""
        return self.text is not None and self._room > 0

    def _hear(self, *said: object) -> None:
        for text in said:
            if self.text is not None and isinstance(text, str) and text:
                self.text.append(text[: self._room])
                self._room = max(self._room - len(text), 0)

    def _too_large(self) -> None:
        """An event was not read."""

    def _data(self, event: bytes | bytearray) -> bytes:
        """The event's data lines, joined by LF; empty if it has none (comments, retry)."""
        text = bytes(event) if self._started else event.removeprefix(BOM)
        lines = [_field(line) for line in _LINE.split(text) if line.startswith(b"data")]
        return b"\n".join(line for line in lines if line is not None).strip()


def _field(line: bytes) -> bytes | None:
    """The value of a data line, None if it is another field whose name begins alike."""
    name, _, value = line.partition(b":")
    return value.removeprefix(b" ") if name == b"data" else None
