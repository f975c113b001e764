"""What happens, as it happens: the audit log as server-sent events (docs/adr/0017-events.md).

An event's id is its entry's number, so whoever was cut off goes on where it was: `Last-Event-ID`, which every
EventSource sends by itself, or `after`. Without either it begins with what comes next. With `wait` the answer
ends after so many seconds without news; 0 is "only what there is".

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from gateway.control import audit
from gateway.domain.access import Caller
from gateway.domain.audit import AuditEntry
from gateway.errors import InvalidValue, Overloaded, StoreUnavailable, Unauthorized
from gateway.web import requests
from gateway.web.answers import HEADERS
from gateway.web.route import STORE, Parameter, Route

LOOK = 0.5  # s between looks at the log
ALIVE = (
    15.0  # s without news after which a comment is sent, so that nothing between takes the silence for an end
)
PAGE = 200  # entries
LAST = "last-event-id"
MOST_WAIT = 3600
NUMBER = {"type": "integer", "minimum": 0, "maximum": 999_999_999}


class Streams:
    """The open ones of an admin API: at most `most`; all end with it."""

    def __init__(self, most: int, caller: Callable[[web.Request], Awaitable[Caller]]) -> None:
        self.most = most
        self.open = 0
        self.closing = asyncio.Event()
        self.caller = caller

    async def close(self, app: web.Application) -> None:
        self.closing.set()


STREAMS = web.AppKey("streams", Streams)


async def events(request: web.Request) -> web.StreamResponse:
    streams, after, wait = request.app[STREAMS], _after(request), _wait(request)
    if streams.open >= streams.most:
        raise Overloaded(
            f"{streams.most} event streams are open (admin.event_streams): close one", retry_after=5
        )
    end = (await audit.read_head(request.app[STORE])).entry
    last = 0 if end is None else end.sequence
    response = web.StreamResponse(headers={**HEADERS, "content-type": "text/event-stream"})
    streams.open += 1
    try:
        await response.prepare(request)
        if after is not None and after > last:  # the store has lost entries, or it is another one
            await response.write(b"event: reset\ndata: {}\n\n")
        await _follow(request, response, last if after is None else min(after, last), wait)
    except (ConnectionResetError, StoreUnavailable):
        pass  # the client has left, or it asks again where it was
    finally:
        streams.open -= 1
    return response


async def _follow(
    request: web.Request, response: web.StreamResponse, position: int, wait: float | None
) -> None:
    streams, clock = request.app[STREAMS], asyncio.get_running_loop().time
    subject = request.query.get("prompt", "")
    told = news = clock()
    while not streams.closing.is_set():
        page = await audit.entries_after(request.app[STORE], position, PAGE)
        if page or clock() >= told + ALIVE:
            try:
                caller = await streams.caller(request)  # a token may have been revoked since
            except Unauthorized:
                return
            seen = [e for e in page if subject in ("", e.subject) and caller.may_see(e.subject)]
            await response.write(b"".join(map(_event, seen)) or b": alive\n\n")
            told = clock()
        if page:
            position, news = page[-1].sequence, clock()
            continue
        if wait is not None and clock() >= news + wait:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(streams.closing.wait(), LOOK if wait is None else min(LOOK, wait))


def _event(entry: AuditEntry) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        entry.sequence,
        entry.action.encode(),
        msgspec.json.encode(entry),
    )


def _after(request: web.Request) -> int | None:
    """The query says it for who cannot set a header; the header is newer, where a client sends both."""
    said = request.headers.get(LAST) or request.query.get("after")
    return None if said is None else requests.number("after", said)


def _wait(request: web.Request) -> float | None:
    wait = requests.query_number(request, "wait")
    if wait is not None and wait > MOST_WAIT:
        raise InvalidValue(f"wait is 0 to {MOST_WAIT} s, not {wait}", param="wait")
    return wait


ROUTES = (
    Route(
        *("GET", "/v1/events", "events", "What happens, as server-sent events", events, "viewer"),
        answers={200: None},
        errors=(InvalidValue, Overloaded),
        query=(
            Parameter("after", NUMBER, "go on after this event; Last-Event-ID says the same"),
            Parameter("prompt", {"type": "string"}, "only events of this prompt"),
            Parameter("wait", NUMBER | {"maximum": MOST_WAIT}, "end after so many s without news"),
        ),
        media="text/event-stream",
    ),
)
