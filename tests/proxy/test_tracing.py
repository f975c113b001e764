"""What a span holds of a request and of its answer, as far as it needs no process."""

from __future__ import annotations

import msgspec
import pytest

from gateway.proxy.tracing import Trace, _asked_for
from gateway.wire.options import Option
from gateway.wire.served import MOST_EVENTS, MOST_OPENING, Served

EMPTY = b'data: {"choices":[]}\n\n'
CHUNK = b'data: {"id":"c1","model":"m","choices":[]}\n\n'


def heard(*pieces: bytes) -> Trace:
    trace = Trace(bytes(16), bytes(8), b"", "")
    for piece in pieces:
        trace.hear(piece)
    return trace


@pytest.mark.parametrize(
    "pieces",
    [
        [CHUNK],
        [CHUNK[:7], CHUNK[7:30], CHUNK[30:]],
        [CHUNK.replace(b"\n", b"\r\n")],
        [EMPTY, CHUNK],
        [EMPTY + CHUNK, EMPTY],
        [*([EMPTY] * (MOST_EVENTS - 1)), CHUNK],
    ],
)
def test_a_stream_says_which_answer_it_is(pieces: list[bytes]) -> None:
    assert heard(*pieces).served == Served("c1", "m")


def test_what_comes_after_it_or_too_late_is_not_kept() -> None:
    known = heard(CHUNK, CHUNK.replace(b"c1", b"c2"))
    late = heard(*([EMPTY] * MOST_EVENTS), CHUNK)
    long = heard(b"data: " + b"x" * MOST_OPENING, b"\n\n" + CHUNK)
    assert [trace.served for trace in (known, late, long)] == [Served("c1", "m"), Served(), None]
    assert [trace._opening for trace in (known, late, long)] == [b"", b"", b""]
    assert len(heard(b"x" * 10, b"y" * MOST_OPENING)._opening) == 0


@pytest.mark.parametrize(
    ("raw", "locked", "inner", "asked"),
    [
        (b"0.9", False, "", 0.9),
        (b"0.9", True, "", 0.5),
        (b"null", False, "", None),  # the client's null goes upstream
        (None, False, "", 0.5),
        (b'{"format":1}', False, "format", 1),
        (b'{"format":1}', True, "format", 0.5),
        (b'{"format":null}', False, "format", 0.5),
        (b"7", False, "format", 0.5),
        (b"{", False, "", None),
    ],
)
def test_what_the_provider_is_asked_for(raw: bytes | None, locked: bool, inner: str, asked: object) -> None:
    option = Option("field", b"0.5", locked, inner)
    assert _asked_for(None if raw is None else msgspec.Raw(raw), option, inner) == asked
