"""Split the top level of a JSON object (RFC 8259) and change members without touching any other byte.

msgspec checks the whole text and hands back each value as a slice, but forgets where it was and drops the
first of two equal keys. Positions are recovered by walking the members: the next value must stand exactly
where the last one ended. JSON values are prefix-free (numbers too, once the next byte is looked at), so a
walk that finds every value in its place and ends at the closing brace has proved that there are no
duplicates. For a compact object the lengths alone prove it: any member more would make the text longer.
"""

import codecs
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.errors import DuplicateKey, InvalidJson, InvalidValue
from gateway.wire import Piece

LARGE: Final = 1024 * 1024  # above, pieces are views of the body instead of copies
MAX_MEMBERS: Final = 1000  # of the top level; finding them costs about 1 µs each
MAX_LONE_SURROGATES: Final = 10_000
MASKABLE: Final = 16 * 1024 * 1024  # bytes; looking for lone surrogates costs up to 30 ms for each MiB
CHUNK: Final = 256 * 1024

Span = tuple[int, int, int]  # key's first byte, value's first byte, value's end
Edit = tuple[int, int, Sequence[Piece]]  # body[start:end] becomes the pieces

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE: Final = rb"[ \t\r\n]*"
_MEMBER: Final = re.compile(
    _SPACE + rb"[{,]" + _SPACE + rb'("[^"\\]*(?:\\.[^"\\]*)*")' + _SPACE + rb":" + _SPACE, re.DOTALL
)
_CLOSE: Final = re.compile(_SPACE + rb"\}" + _SPACE + rb"\Z")
_SURROGATE: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*+)\\u([dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F]|[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_VALUES: Final = json.JSONDecoder(parse_int=len, parse_float=len)


class Fields:
    """A JSON object: `body` as sent, `spans` of its members in order, `values` to read.

    `values` are slices of the body in which lone surrogate escapes (legal JSON text, but no character) are
    replaced. `shadowed` are the members whose key comes again later; reading or changing such a key is a 400.
    """

    __slots__ = ("body", "shadowed", "spans", "values")

    def __init__(
        self,
        body: bytes,
        values: Mapping[str, msgspec.Raw],
        spans: dict[str, Span],
        shadowed: Sequence[tuple[str, Span]] = (),
    ) -> None:
        self.body = body
        self.values = values
        self.spans = spans
        self.shadowed = shadowed

    def get(self, key: str) -> msgspec.Raw | None:
        """The JSON text of a member's value, None if there is no such member."""
        if self.shadowed and any(key == name for name, _ in self.shadowed):
            raise DuplicateKey(f"the key {key!r} occurs more than once; send it once", param=key)
        return self.values.get(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def is_null(self, key: str) -> bool:
        """Whether a member is absent or null."""
        value = self.get(key)
        return value is None or (len(value) == 4 and bytes(value) == b"null")


def split(body: bytes, *, what: str = "the request body") -> Fields:
    """Raises `InvalidJson`, or `InvalidValue` if the text is JSON but not an object; `what` names it."""
    _check_utf8(body, what)
    text, values = _decode(body, what)
    if len(values) > MAX_MEMBERS:
        raise InvalidValue(f"{what} has {len(values)} keys at its top level; at most {MAX_MEMBERS} are taken")
    spans = _compact_spans(values, len(text)) if body[:1] == b"{" else None
    if spans is None:
        spans = _walk(text, values)
    if spans is not None:
        return Fields(body, values, spans)
    spans, shadowed = _scan(text, what)
    return Fields(body, values, spans, shadowed)


def replace(fields: Fields, edits: Mapping[str, bytes | None], inside: Iterable[Edit] = ()) -> list[Piece]:
    """The object with members set to JSON text or, for None, removed; new ones are appended in order.

    `inside` are edits of byte ranges within values that `edits` leaves alone. Joined, the pieces are the new
    body; above 1 MiB they are views of the old one. Raises `DuplicateKey`.
    """
    spans = fields.spans
    cuts = list(inside)
    removed: set[str] = set()
    appended: list[Piece] = []
    for key, value in edits.items():
        if fields.get(key) is None:
            if value is not None:
                appended += (b",", msgspec.json.encode(key), b":", value)
        elif value is None:
            removed.add(key)
        else:
            cuts.append((spans[key][1], spans[key][2], (value,)))
    if removed:
        cuts += _removals(fields, removed)
    if appended:
        survivors = bool(fields.shadowed) or len(removed) < len(spans)
        end = fields.body.rindex(b"}") if not spans else next(reversed(spans.values()))[2]
        cuts.append((end, end, appended if survivors else appended[1:]))
    return cut(fields.body, cuts)


def cut(body: bytes, edits: list[Edit]) -> list[Piece]:
    """Apply edits of byte ranges that do not overlap; of two at the same place the first given goes first."""
    source: Piece = memoryview(body) if len(body) > LARGE else body
    edits.sort(key=_start)
    pieces: list[Piece] = []
    position = 0
    for start, end, new in edits:
        if start > position:
            pieces.append(source[position:start])
        pieces += new
        position = end
    if position < len(body):
        pieces.append(source[position:])
    return pieces


def gaps(ranges: Sequence[tuple[int, int]], removed: Sequence[bool]) -> list[tuple[int, int]]:
    """What to cut out of a list of comma-separated items at `ranges`, so that the commas come out right.

    An item goes together with the comma after it, or, where nothing is kept after it, the one before it.
    """
    kept = [index for index, gone in enumerate(removed) if not gone]
    if not kept:
        return [(ranges[0][0], ranges[-1][1])] if ranges else []
    last = kept[-1]
    found = [(ranges[i][0], ranges[i + 1][0]) for i in range(last) if removed[i]]
    if last + 1 < len(ranges):
        found.append((ranges[last][1], ranges[-1][1]))
    return found


def elements(fields: Fields, key: str, values: Sequence[msgspec.Raw]) -> list[tuple[int, int]]:
    """Where the elements `values` of the array `key` stand in the body."""
    position = fields.spans[key][1] + 1
    body = fields.body
    found = []
    for value in values:
        while body[position] in b" \t\r\n,":
            position += 1
        found.append((position, position + len(value)))
        position += len(value)
    return found


def _start(edit: Edit) -> int:
    return edit[0]


def _removals(fields: Fields, removed: set[str]) -> list[Edit]:
    members = [(start, end, key in removed) for key, (start, _, end) in fields.spans.items()]
    members += [(start, end, False) for _, (start, _, end) in fields.shadowed]
    members.sort()
    ranges = [(start, end) for start, end, _ in members]
    return [(*gap, ()) for gap in gaps(ranges, [gone for _, _, gone in members])]


def _check_utf8(body: bytes, what: str) -> None:
    """RFC 3629, without a copy of the whole as text."""
    if body.isascii():
        return
    try:
        if len(body) <= LARGE:
            body.decode()
            return
        decoder = codecs.getincrementaldecoder("utf-8")()
        view = memoryview(body)
        for start in range(0, len(body), CHUNK):
            decoder.decode(view[start : start + CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InvalidJson(f"{what} is not valid UTF-8: {error.reason} (byte {error.start})") from error


def _decode(body: bytes, what: str) -> tuple[bytes, dict[str, msgspec.Raw]]:
    try:
        return body, _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{what} must be a JSON object: {error}") from error
    except RecursionError as error:
        raise InvalidJson(f"{what} is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = mask_surrogates(body) if len(body) <= MASKABLE else body
        if text == body:
            raise InvalidJson(f"{what} is not valid JSON: {error}") from error
    try:
        return text, _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"{what} is not valid JSON: {error}") from error


def mask_surrogates(body: bytes) -> bytes:
    """The same number of bytes with lone surrogate escapes replaced by U+FFFD; at most 10,000 of them.

    RFC 8259 section 8.2 allows them, and JSON.stringify writes them for a text cut inside an emoji; msgspec
    refuses them.
    """
    return _SURROGATE.sub(_mask, body, count=MAX_LONE_SURROGATES)


def _mask(match: re.Match[bytes]) -> bytes:
    return match[0] if len(match[2]) > 4 else match[1] + rb"\ufffd"


def _compact_spans(values: Mapping[str, msgspec.Raw], length: int) -> dict[str, Span] | None:
    """Spans if the top level has no white space, escape or duplicate: only then the lengths add up."""
    spans: dict[str, Span] = {}
    position = 1
    for key, value in values.items():
        start = position + len(key) + 3
        end = start + len(value)
        spans[key] = (position, start, end)
        position = end + 1
    return spans if position == length and spans else None


def _walk(text: bytes, values: Mapping[str, msgspec.Raw]) -> dict[str, Span] | None:
    """Spans by looking at each member, None if a key occurs twice."""
    spans: dict[str, Span] = {}
    position = 0
    for key, value in values.items():
        member = _MEMBER.match(text, position)
        if member is None:
            return None
        start, stop = member.span(1)
        name = text[start + 1 : stop - 1]
        if name != key.encode() and (b"\\" not in name or msgspec.json.decode(text[start:stop]) != key):
            return None
        first = member.end()
        if not text.startswith(memoryview(value), first):
            return None
        position = first + len(value)
        spans[key] = (start, first, position)
    if spans and _CLOSE.match(text, position) is None:
        return None
    return spans


def _scan(text: bytes, what: str) -> tuple[dict[str, Span], list[tuple[str, Span]]]:
    """Spans of the members that count (of a repeated key the last, as JSON decoders do) and of the others.

    Latin-1 makes a character of each byte, so that the standard library's positions are ours. It builds the
    values, hence the limit on size.
    """
    if len(text) > LARGE:
        raise DuplicateKey(f"{what} has a key that occurs more than once; send it once")
    characters = text.decode("latin-1")
    spans: dict[str, Span] = {}
    shadowed: list[tuple[str, Span]] = []
    position = 0
    while member := _MEMBER.match(text, position):
        start, stop = member.span(1)
        key = msgspec.json.decode(text[start:stop], type=str)
        try:
            _, position = _VALUES.raw_decode(characters, member.end())
        except RecursionError as error:
            raise InvalidJson(f"{what} is nested too deeply") from error
        if key in spans:
            shadowed.append((key, spans.pop(key)))
        spans[key] = (start, member.end(), position)
    return spans, shadowed
