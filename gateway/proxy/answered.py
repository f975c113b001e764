"""What an exchange notes while a managed answer passes, and what it makes of it after the last byte."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from gateway.domain.outcome import outcome_of
from gateway.errors import GatewayError
from gateway.proxy.recorder import Seen
from gateway.wire.sse import SseScanner
from gateway.wire.usage import Answer, Usage, read_answer

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed

MOST_GAPS = 1000  # of one answer
MOST_BYTES = 1024 * 1024  # of an answer that is not streamed and is read for its usage


class Notes:
    """Times are the loop's. Only appends and assignments happen before the last byte."""

    __slots__ = ("_body", "_last", "first_token", "gaps", "size", "status")

    def __init__(self, status: int, *, body: bool) -> None:
        self.status = status
        self.first_token = 0.0
        self.gaps = array("d")
        self.size = 0
        self._last = 0.0
        self._body: list[bytes] | None = [] if body else None

    def events(self, now: float, scanner: SseScanner) -> None:
        """A piece of the event stream has passed through the scanner."""
        if self.first_token:
            if len(self.gaps) < MOST_GAPS:
                self.gaps.append(now - self._last)
        elif scanner.first_token:
            self.first_token = now
        self._last = now

    def data(self, data: bytes) -> None:
        """A piece of an answer that is not streamed."""
        if self._body is not None:
            self.size += len(data)
            if self.size > MOST_BYTES:
                self._body = None
            else:
                self._body.append(data)

    def answer(self) -> Answer | None:
        return read_answer(b"".join(self._body)) if self._body else None


def record(exchange: Managed, error: GatewayError | None = None, *, left: bool = False) -> None:
    """After the last byte, or where none will come: histograms and evidence of one managed request."""
    worker, choice, notes, scanner = exchange.worker, exchange.choice, exchange.notes, exchange.scanner
    if choice is None or exchange.recorded:
        return
    exchange.recorded = True
    received = exchange.head.received
    now = worker.clock()
    total = now - received
    first_token = notes.first_token - received if notes is not None and notes.first_token else None
    selection = exchange.selection
    whole = error is None and not left
    if notes is not None and whole and notes.status < 400 and selection is not None:
        worker.histograms.record(selection.prompt, choice.version, total, first_token, notes.gaps)
    if not worker.recorder.measures(choice):
        return
    usage, in_band = _read(notes, scanner)
    seen = Seen(
        started_at=worker.snapshots.store_time(received),
        outcome=outcome_of(notes.status if notes else None, error=error, in_band=in_band, left=left),
        total=total,
        first_token=first_token,
        tokens=None if usage is None else usage.completion,
        again=exchange.headers.get(b"x-stainless-retry-count", b"0") != b"0",
    )
    worker.recorder.ended(choice, seen)


def _read(notes: Notes | None, scanner: SseScanner | None) -> tuple[Usage | None, bool]:
    """Usage, and whether the answer says of itself that it failed."""
    if scanner is not None:
        return scanner.usage, scanner.error is not None
    answer = None if notes is None else notes.answer()
    return (None, False) if answer is None else (answer.usage, answer.error is not None)
