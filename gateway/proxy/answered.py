"""What an exchange notes while a managed answer passes, and what it makes of it after the last byte."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.domain.observation import Outcome
from gateway.domain.outcome import code_of, ending_of, outcome
from gateway.errors import ClientError, GatewayError, PromptError
from gateway.evals.flags import flags_of
from gateway.proxy.judging import Said
from gateway.proxy.recorder import Seen
from gateway.proxy.shadowing import Shadowed
from gateway.proxy.tracing import Ending
from gateway.telemetry.counts import VersionCounts
from gateway.telemetry.logs import access
from gateway.telemetry.metrics import OTHER
from gateway.wire.price import Price
from gateway.wire.sse import MOST_TEXT, EventScanner
from gateway.wire.texts import answer_of, first_bytes, last_bytes, refused
from gateway.wire.traceparent import trace_of
from gateway.wire.usage import Answer, Usage, estimate, kinds

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed

MOST_NAME: Final = 100  # characters of a model's name that are counted
MOST_SAID: Final = 32 * 1024  # bytes of a question or answer where no judge's settings say
MOST_GAPS: Final = 1000  # of one answer
NOTHING: Final = Answer()
MOST_BYTES: Final = 1024 * 1024  # of an answer that is not streamed and is read for its usage


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

    def events(self, now: float, scanner: EventScanner) -> None:
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

    def answer(self, read: Callable[[bytes], Answer | None]) -> Answer | None:
        return read(b"".join(self._body)) if self._body else None

    def whole(self) -> bytes:
        """An answer that is not streamed; empty if it was too long to keep."""
        return b"".join(self._body or ())


def record(exchange: Managed, error: GatewayError | None = None, *, left: bool = False) -> None:
    """After the last byte, or where none will come: counts and evidence of one managed request.

    Histograms tell what the client waited for. Evidence counts from the request's way to the provider to the
    answer's end there: a pin that is looked up delays the canary more than stable (docs/adr/0002)."""
    worker, choice, notes = exchange.worker, exchange.choice, exchange.notes
    if exchange.recorded:
        return
    exchange.recorded = True
    selection = exchange.selection
    if choice is None or selection is None:
        if error is not None:
            worker.counts.refused(error.code)
        return
    received = exchange.head.received
    total = worker.clock() - received
    first_token = notes.first_token - received if notes is not None and notes.first_token else None
    answer = _read(notes, exchange.scanner, exchange.api.read_answer)
    usage, code = answer.usage, code_of(answer.error)
    status = None if notes is None else notes.status
    how = _outcome(status, error, code, left=left, begun=first_token is not None)
    counts = worker.counts.version(selection.prompt, choice.version)
    counts.ended(choice.arm, how)
    whole = error is None and not left
    if notes is not None and whole and notes.status < 400:
        _count_whole(exchange, counts, notes, total, first_token, usage)
    cost = _count_usage(exchange, counts, usage, whole=whole)
    measured = worker.recorder.measures(choice)
    shown = exchange.trace is not None and exchange.trace.wants_text
    words: str | None = None
    if (measured or shown) and whole and notes is not None and notes.status < 400:
        words = _text(notes, exchange.scanner)
    text = words if measured else None
    flags = () if text is None else _flags(exchange, text, answer.finish_reason)
    if worker.tracing is not None:
        said = words if shown else None
        ending = Ending(how, status, error, code, answer, usage, cost, total, first_token, flags, said)
        worker.tracing.ended(exchange, ending)
    if worker.settings.logs.access:
        access(about(exchange, how, status, total))
    if not measured:
        return
    sent = exchange.sent_at or received
    answered = exchange.answered_at or worker.fine_clock()  # its last byte may have waited for a pin
    link = b"" if exchange.trace is None else exchange.trace.link
    seen = Seen(
        started_at=worker.snapshots.store_time(received),
        outcome=how,
        total=answered - sent,
        first_token=None if first_token is None else max(first_token + received - sent, 0.0),
        tokens=None if usage is None else usage.completion,
        again=exchange.headers.get(b"x-stainless-retry-count", b"0") != b"0",
        cost=None if cost is None or usage is None else cost.uncached,
        said=None if text is None else _said(exchange, text),
        doubted=_words(exchange, text or "") if flags and worker.recorder.doubt is not None else None,
        flags=flags,
        shadowed=None if exchange.copied is None else Shadowed(exchange.copied, text or "", how, flags, link),
        trace=link,
    )
    worker.recorder.ended(choice, seen)


def _count_whole(
    exchange: Managed,
    counts: VersionCounts,
    notes: Notes,
    total: float,
    first_token: float | None,
    usage: Usage | None,
) -> None:
    """Times and tokens of an answer that came to its end."""
    worker = exchange.worker
    member = worker.upstream.member_of(exchange.call)
    provider = OTHER if member is None else worker.places[member.name].provider
    served = counts.of(provider, exchange.model[:MOST_NAME])
    served.took(total, first_token, notes.gaps)
    if usage is not None:
        served.used(usage.prompt, usage.completion)
    worker.counts.overhead.record(exchange.overhead())


def about(exchange: Managed, how: Outcome, status: int | None, total: float) -> dict[str, object]:
    """A managed request in the access log."""
    choice, selection = exchange.choice, exchange.selection
    assert choice is not None and selection is not None
    found: dict[str, object] = {
        "request_id": exchange.request_id.decode(),
        "prompt": selection.prompt,
        "version": choice.version,
        "arm": choice.arm,
        "rollout": choice.rollout,
        "reason": choice.reason,
        "outcome": how,
        "status": status,
        "seconds": round(total, 4),
    }
    trace = exchange.trace.trace if exchange.trace is not None else trace_of(exchange.headers)
    if trace is not None:
        found["trace_id"] = trace.hex()
    return found


def _text(notes: Notes, scanner: EventScanner | None) -> str:
    """The answer in words."""
    if scanner is not None:
        return "".join(scanner.text or ())
    return answer_of(notes.whole(), MOST_TEXT)


def _said(exchange: Managed, answer: str) -> Said | None:
    """As the judge is shown it, where it may want it."""
    worker, question, choice = exchange.worker, exchange.question, exchange.choice
    if worker.settings.judge is None or question is None or choice is None:
        return None
    turns = question.words().turns if worker.recorder.counts_turns(choice) else 0
    if not worker.recorder.judges(choice, turns):
        return None
    return _words(exchange, answer)


def _words(exchange: Managed, answer: str) -> Said | None:
    """For the judge, or for those who look at flags again."""
    question = exchange.question
    if question is None:
        return None
    settings = exchange.worker.settings.judge
    return Said(
        last_bytes(question.words().text, MOST_SAID if settings is None else settings.question_bytes),
        first_bytes(answer, MOST_SAID if settings is None else settings.answer_bytes),
        b"" if exchange.trace is None else exchange.trace.link,
    )


def _flags(exchange: Managed, answer: str, finish_reason: str | None) -> tuple[str, ...]:
    wanted, prepared, notes = exchange.worker.settings.evidence.flags, exchange.prepared, exchange.notes
    rules = exchange.worker.safety_rules
    if not (wanted or rules) or prepared is None or notes is None:
        return ()
    scanner = exchange.scanner
    says_so = refused(notes.whole()) if scanner is None else scanner.refused
    found = flags_of(
        answer,
        lambda: _asked(exchange),
        probes=prepared.probes,
        finish_reason="refusal" if says_so else finish_reason,
        wants_json=prepared.version.content.outputs is not None,
        rules=rules,
    )
    return tuple([flag for flag in found if flag in wanted or ":" in flag]) if found else ()


def _asked(exchange: Managed) -> str:
    return "" if exchange.question is None else exchange.question.words().text


def _count_usage(
    exchange: Managed, counts: VersionCounts, usage: Usage | None, *, whole: bool
) -> Price | None:
    """By the model that was asked for, whoever served it: the arms are compared on one list."""
    scanner = exchange.scanner
    estimated = not whole and scanner is not None and scanner.finish_reason is None
    if scanner is not None and estimated:
        usage = estimate(usage, exchange.sent_bytes, scanner.events if scanner.first_token else 0)
    if usage is None or exchange.prepared is None:
        return None
    worker = exchange.worker
    cost = worker.prices.cost(exchange.model, usage, now=worker.store_now())
    counts.used(kinds(usage), None if cost is None else cost.paid, estimated=estimated)
    return cost


def _outcome(
    status: int | None, error: GatewayError | None, code: str | int | None, *, left: bool, begun: bool
) -> Outcome:
    if status is None and isinstance(error, ClientError | PromptError):
        return "prompt"  # our own refusal under this version: a variable that its template needs
    if left:
        return outcome("left")
    ending = "answered" if error is None else ending_of(error, responded=status is not None)
    return outcome(ending, status, code, begun=begun)


def _read(
    notes: Notes | None, scanner: EventScanner | None, read: Callable[[bytes], Answer | None]
) -> Answer:
    """What the answer tells of itself."""
    if scanner is not None:
        return Answer(scanner.usage, scanner.finish_reason, scanner.error, scanner.response_id)
    return (None if notes is None else notes.answer(read)) or NOTHING
