"""The body of a prompt file: messages by role markers, parts by comments.

    system:                          a role marker is a line of its own
    {# part: system #}               so is a part comment; other runtimes of the format drop it
    You are …

    {# part: output_format #}
    Reply with …

    user:
    {{ question }}

Blank lines around a message are dropped; within it, text is kept as it is. A body without any marker is one
system message. What other runtimes would take for a marker, and this one would send as text, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, get_args

from gateway.domain.prompt import Message, Part, PartKind, Role
from gateway.errors import PromptFileError

MAX_MESSAGES = 200

ROLES: tuple[Role, ...] = get_args(Role)
PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)

_MARKER = re.compile(rf"({'|'.join(ROLES)}):[ \t]*\Z")
# What Prompty's own parser splits at, and two slips of the hand: an unknown role, text behind the marker.
_LIKE_MARKER = re.compile(rf"\s*(?:#\s*)?({'|'.join(ROLES)})\s*(?:\[[^\]]*\]\s*)?:\s*\Z", re.IGNORECASE)
_PART = re.compile(r"[ \t]*\{#-?\s*part\s*:(.*?)-?#\}[ \t]*\Z")
_LIKE_PART = re.compile(r"\{#-?\s*parts?\s*:")


class Placed(NamedTuple):
    """A message, and the first line of each of its parts' templates in the file."""

    message: Message
    lines: tuple[int, ...]


class _Chunk(NamedTuple):
    role: Role
    line: int  # of the marker
    text: list[str]


class _Piece(NamedTuple):
    kind: str | None
    line: int
    template: str


def split(body: str, source: str, first_line: int) -> list[Placed]:
    """Raises `PromptFileError`."""
    chunks = _chunks(body.split("\n"), source, first_line)
    if len(chunks) > MAX_MESSAGES:
        raise PromptFileError(
            f"{source}:{chunks[MAX_MESSAGES].line}: a prompt has at most {MAX_MESSAGES} messages"
        )
    answered = max((index for index, chunk in enumerate(chunks) if chunk.role == "assistant"), default=-1)
    placed = []
    for index, chunk in enumerate(chunks):
        default: PartKind = "system"
        if chunk.role == "assistant" or (chunk.role == "user" and index < answered):
            default = "few_shot"
        elif chunk.role == "user":
            default = "user"
        placed.append(_message(chunk, default, source))
    return placed


def join(messages: Sequence[Message]) -> str:
    """The body that `split` reads back as `messages`, each part with its kind. Raises `PromptFileError` for
    what only another source than a file can hold, such as a line in a text that is a role marker."""
    text = "\n\n".join(
        f"{message.role}:\n"
        + "".join(f"{{# part: {part.kind} #}}\n{part.template}" for part in message.parts)
        for message in messages
    )
    again = tuple(each.message for each in split(text, "written", 1))
    if again != tuple(messages):
        raise PromptFileError(
            "this prompt cannot be written as a file: a message has blank lines around it or a line that is "
            "a role marker, or a part does not end its line before the next begins"
        )
    return text + "\n"


def _chunks(lines: list[str], source: str, first_line: int) -> list[_Chunk]:
    chunks: list[_Chunk] = []
    preamble = next((number for number, line in enumerate(lines) if line.strip()), None)
    if preamble is None:
        raise PromptFileError(
            f"{source}:{first_line}: the body is empty: a prompt needs at least one message"
        )
    for number, line in enumerate(lines, first_line):
        marker = _MARKER.match(line)
        if marker:
            chunks.append(_Chunk(_role(marker[1]), number, []))
        elif found := _LIKE_MARKER.match(line):
            raise PromptFileError(
                f"{source}:{number}: {line.strip()!r} looks like a role marker: write {found[1].lower()}: "
                "at the start of the line, in lower case, and nothing else; or change the text"
            )
        elif chunks:
            chunks[-1].text.append(line)
    start = first_line + preamble
    if not chunks:
        return [_without_marker(lines, source, start, first_line)]
    if chunks[0].line > start:
        raise PromptFileError(
            f"{source}:{start}: text before the first role marker: begin with one of "
            f"{', '.join(f'{role}:' for role in ROLES)} (part comments come after it)"
        )
    return chunks


def _without_marker(lines: list[str], source: str, start: int, first_line: int) -> _Chunk:
    """The whole body is the system message, unless it seems to begin with a marker."""
    first = lines[start - first_line]
    word = first.partition(":")[0].strip().lower()
    if ":" in first and word in (*ROLES, "tool", "function"):
        raise PromptFileError(
            f"{source}:{start}: {first.strip()[:60]!r}: a role marker is one of "
            f"{', '.join(f'{role}:' for role in ROLES)} on a line of its own, its text below it"
        )
    return _Chunk("system", first_line - 1, list(lines))


def _message(chunk: _Chunk, default: PartKind, source: str) -> Placed:
    pieces = _pieces(chunk, source)
    pieces[0] = _without_leading_blanks(pieces[0])
    pieces[-1] = pieces[-1]._replace(template=pieces[-1].template.rstrip())
    if len(pieces) > 1 and pieces[0].kind is None and not pieces[0].template:
        pieces = pieces[1:]
        pieces[0] = _without_leading_blanks(pieces[0])
    for piece in pieces:
        if not piece.template.strip():
            what = f"the {chunk.role} message" if len(pieces) == 1 else f"the part {piece.kind or default}"
            raise PromptFileError(f"{source}:{max(chunk.line, 1)}: {what} is empty")
    parts = tuple(Part(_kind(piece, default, source), piece.template) for piece in pieces)
    return Placed(Message(chunk.role, parts), tuple(piece.line for piece in pieces))


def _pieces(chunk: _Chunk, source: str) -> list[_Piece]:
    """Text between part comments; each piece but the last ends with its line's end."""
    kinds: list[tuple[str | None, int]] = [(None, chunk.line + 1)]
    texts: list[list[str]] = [[]]
    for number, line in enumerate(chunk.text, chunk.line + 1):
        comment = _PART.match(line)
        if comment:
            kinds.append((comment[1].strip(), number + 1))
            texts.append([])
        elif _LIKE_PART.search(line):
            raise PromptFileError(
                f"{source}:{number}: a part comment is a line of its own: {{# part: {PART_KINDS[0]} #}}"
            )
        else:
            texts[-1].append(line + "\n")
    return [_Piece(kind, line, "".join(text)) for (kind, line), text in zip(kinds, texts, strict=True)]


def _without_leading_blanks(piece: _Piece) -> _Piece:
    lines = piece.template.split("\n")
    blank = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    return piece._replace(line=piece.line + blank, template="\n".join(lines[blank:]))


def _kind(piece: _Piece, default: PartKind, source: str) -> PartKind:
    if piece.kind is None:
        return default
    for kind in PART_KINDS:
        if kind == piece.kind:
            return kind
    kinds = ", ".join(PART_KINDS)
    raise PromptFileError(
        f"{source}:{piece.line - 1}: the part {piece.kind[:60]!r} is unknown: parts are {kinds}"
    )


def _role(name: str) -> Role:
    return next(role for role in ROLES if role == name)
