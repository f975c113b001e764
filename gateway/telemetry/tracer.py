"""Spans of work that is no request: judge calls, suites, verdicts.

A `Work` is a span under way. It begins its trace, or is a child of the work that it is done in (of the same
task or of one that started it); what it is about it links to. Without a collector, or where nothing of the
trace is kept, it costs its object and leaves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from random import Random

from gateway.settings import Settings
from gateway.telemetry.delivery import resource
from gateway.telemetry.export import Exporter
from gateway.telemetry.metrics import Sample
from gateway.telemetry.spans import INTERNAL, LINK_BYTES, Attributes, Event, Link, Span, SpanQueue

RESULT = "gen_ai.evaluation.result"  # event of the GenAI conventions


class Work:
    """`kept`: it becomes a span. Attributes and events may be added until it ends."""

    __slots__ = ("attributes", "error", "events", "kept", "span", "trace", "tracer")

    def __init__(self, tracer: Tracer, trace: bytes = b"", span: bytes = b"") -> None:
        self.tracer = tracer
        self.trace = trace
        self.span = span
        self.kept = bool(span)
        self.attributes: Attributes = {}
        self.events: list[Event] = []
        self.error: str | None = None

    def failed(self, kind: str, why: str) -> None:
        self.attributes["error.type"] = kind
        self.error = why

    def result(self, name: str, score: float | None, *, label: str = "", error: str = "") -> None:
        """What an evaluation came to. `score` None: there is none, and `error` says why."""
        found: Attributes = {"gen_ai.evaluation.name": name}
        if score is not None:
            found["gen_ai.evaluation.score.value"] = score
        if label:
            found["gen_ai.evaluation.score.label"] = label
        if error:
            found["error.type"] = error
        self.events.append(Event(RESULT, time.time_ns(), found))


class Tracer:
    """`queue` None: nobody collects. `random` makes ids."""

    def __init__(self, queue: SpanQueue | None = None, random: Random | None = None) -> None:
        self.queue = queue
        self.exporter: Exporter | None = None
        self._told = 0, 0  # sent and dropped, as they were told last
        self._random = random or Random(0)

    @contextlib.contextmanager
    def work(
        self,
        name: str,
        *,
        about: Iterable[bytes] = (),
        kind: int = INTERNAL,
        kept: bool = True,
        began: int = 0,
    ) -> Iterator[Work]:
        """A span from now, or `began` (ns since the epoch), to the end of the block. `about`: spans that it
        links to, `LINK_BYTES` each."""
        parent, queue = _CURRENT.get(), self.queue
        if queue is None or not kept or not (parent is None or parent.kept):
            with _within(Work(self)) as work:
                yield work
            return
        trace = self._random.randbytes(16) if parent is None else parent.trace
        links = tuple(links_of(about))
        start = began or time.time_ns()
        with _within(Work(self, trace, self._random.randbytes(8))) as work:
            try:
                yield work
            except BaseException as error:
                work.error = work.error or type(error).__name__
                raise
            finally:
                above = b"" if parent is None else parent.span
                end = max(start, time.time_ns())
                queue.put(
                    Span(
                        trace, work.span, above, "", name, start, end, work.attributes, tuple(work.events),
                        work.error, kind, links,
                    )
                )  # fmt: skip

    def counted(self) -> list[Sample]:
        """By how much its counts have risen since the last time."""
        if self.queue is None or self.exporter is None:
            return []
        before, now = self._told, (self.exporter.sent, self.queue.dropped)
        self._told = now
        names = ("spans_sent_total", "spans_dropped_total")
        rises = zip(names, now, before, strict=True)
        return [(name, (), (risen - last,)) for name, risen, last in rises if risen != last]

    def standing(self) -> list[Sample]:
        return [] if self.queue is None else [("spans_waiting", (), (len(self.queue),))]


_CURRENT: ContextVar[Work | None] = ContextVar("work", default=None)


@contextlib.contextmanager
def _within(work: Work) -> Iterator[Work]:
    token = _CURRENT.set(work)
    try:
        yield work
    finally:
        _CURRENT.reset(token)


def current() -> Work:
    """What this is done in; where there is nothing, one that leaves nothing."""
    return _CURRENT.get() or Work(Tracer())


def links_of(about: Iterable[bytes]) -> Iterator[Link]:
    """Those that are links; a process of another version may have written others."""
    for each in about:
        if len(each) == LINK_BYTES:
            yield Link(each[:16], each[16:])


@contextlib.asynccontextmanager
async def exporting(settings: Settings, random: Random) -> AsyncIterator[Tracer]:
    """A tracer whose spans go to the configuration's collector, if it names one."""
    if settings.traces.endpoint is None:
        yield Tracer()
        return
    queue = SpanQueue(settings.traces.queue)
    exporter = Exporter(settings.traces, queue, resource(settings.traces))
    running = asyncio.create_task(exporter.run())
    try:
        tracer = Tracer(queue, random)
        tracer.exporter = exporter
        yield tracer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await exporter.close()
