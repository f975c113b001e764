"""Which provider gets a request, and who gets it next if that one fails before its answer begins.

    eligible    serves the route and the model
    admitted    its breaker is closed, or lets a probe through
    order       lowest priority number; of these one with room, drawn by weight

Where no breaker admits anybody, the request is sent as if all did: a breaker chooses between upstreams, it
does not refuse clients. For the same reason a single upstream is not wrapped at all.

A request is sent a second time, to another upstream, at most once, and only while nothing of an answer has
reached the client: see `Attempt` and docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.errors import (
    ConfigError,
    GatewayError,
    NotFound,
    Overloaded,
    UpstreamClosed,
    UpstreamConnectTimeout,
    UpstreamUnreachable,
)
from gateway.proxy.base import Call, Head, Receiver, ResponseHead
from gateway.proxy.breaker import Breaker
from gateway.proxy.upstream import Pool, PoolCounts, tls_context
from gateway.settings import Settings, Upstream
from gateway.wire import Piece
from gateway.wire.forwarding import Forwarding

logger = logging.getLogger(__name__)

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))  # RFC 9110, section 9.2.2
REFUSED_KEY: Final = frozenset((401, 402))  # the gateway's own key is not valid, or not paid for
RETRY_AFTER_DEFAULT: Final = 1.0  # s


class Outbound:
    """A request on its way out; `body` None: it is streamed. `path` begins with /v1."""

    __slots__ = ("body", "head", "length", "managed", "model", "path")

    def __init__(
        self,
        head: Head,
        path: bytes,
        body: Sequence[Piece] | None,
        length: int | None,
        model: str | None,
        managed: bool,
    ) -> None:
        self.head = head
        self.path = path
        self.body = body
        self.length = length
        self.model = model
        self.managed = managed


class Member:
    """One upstream: its pool, its breaker, how requests are put for it. Judges its pool (`Health`)."""

    def __init__(
        self,
        upstream: Upstream,
        settings: Settings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.name = upstream.name
        self.priority = upstream.priority
        self.weight = upstream.weight
        self.forwarding = Forwarding(upstream, keyed=settings.clients == "keys")
        self.breaker = Breaker(settings.breaker)
        self.slow_after = settings.breaker.slow_after
        self.looking: asyncio.Task[None] | None = None
        self.on_change: Callable[[], None] = nothing  # the breaker's state is another one
        self._clock = clock
        self.pool = Pool(
            upstream.base_url,
            settings.limits,
            settings.timeouts,
            clock=clock,
            random=random,
            tls=tls_context(upstream.ca_file, verify=upstream.verify_tls),
            connections=upstream.max_concurrent,
            health=self,
        )

    def send(self, what: Outbound, receiver: Receiver) -> Call:
        """Raises `InvalidValue` or `MalformedRequest` for a request that cannot be put for it."""
        head = what.head
        target = self.forwarding.target(what.path, head.query, what.model)
        block = self.forwarding.block(head.headers, managed=what.managed, begin=head.known)
        line = b"%b %b HTTP/1.1\r\n" % (head.method, target)
        patience = seconds(head.get(b"x-stainless-read-timeout"))
        return self.pool.request(
            line + block, what.body, receiver, length=what.length, method=head.method, first_byte=patience
        )

    def at_fault(self, status: int) -> bool:
        """Whether another upstream may do better. Not after 504: the time is spent."""
        if status == 429 or (status >= 500 and status != 504):
            return True
        return self.forwarding.holds_key and status in REFUSED_KEY

    # --- Health

    def answered(self, head: ResponseHead) -> None:
        status, now = head.status, self._clock()
        if status != 504 and not self.at_fault(status):
            self.breaker.succeeded(now)
            return
        if status == 429 and not self.forwarding.holds_key:
            return  # the limit is that client's, not the gateway's
        before = self.breaker.state
        wait = retry_after(head) if status in (429, 503) else None
        if wait is None:
            self.breaker.failed(now)
        else:
            self.breaker.told_to_wait(wait, now)
        self._log(before, f"status {status}")

    def broke(self, error: GatewayError) -> None:
        before = self.breaker.state
        self.breaker.failed(self._clock())
        self._log(before, error.message)

    def slow(self) -> None:
        before = self.breaker.state
        self.breaker.failed(self._clock())
        self._log(before, f"no first byte within {self.slow_after:g} s")

    # --- time

    def sweep(self, now: float) -> None:
        self.pool.sweep(now)
        if self.breaker.wants_look(now) and self.looking is None:
            self.looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        before = self.breaker.state
        try:
            self.breaker.looked(await self.pool.answers(), self._clock())
        finally:
            self.looking = None
        self._log(before, "its port answers")

    def _log(self, before: str, why: str) -> None:
        if self.breaker.state != before:
            logger.warning("upstream %s is now %s: %s", self.name, self.breaker.state, why)
            self.on_change()


class Router:
    """All upstreams of one worker. `clock` gives monotonic seconds, `random` [0, 1)."""

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        if not settings.providers:
            raise ConfigError("no upstream is configured")
        self.members = [Member(item, settings, clock=clock, random=random) for item in settings.providers]
        self.on_change: Callable[[dict[str, str]], None] = nothing  # told the states
        self.fallbacks = 0  # requests that were sent to a second upstream, so far
        self._only = self.members[0] if len(self.members) == 1 else None
        self._clock = clock
        self._random = random
        for member in self.members:
            member.on_change = self._changed

    def send(self, what: Outbound, receiver: Receiver) -> Call:
        """Raises `NotFound` where no upstream serves the route and the model, and what `Member.send` does."""
        only = self._only
        if only is not None:
            if not only.forwarding.serves(what.path, what.model):
                raise unserved(what)
            return only.send(what, receiver)
        attempt = Attempt(self, what, receiver)
        attempt.start(self.first(what))
        return attempt

    def member_of(self, call: Call | None) -> Member | None:
        """Which upstream a request went to last."""
        return call.member if isinstance(call, Attempt) else self._only

    def wants_model(self, path: bytes) -> bool:
        """Whether the model that a request names decides where it goes."""
        return any(member.forwarding.wants_model(path) for member in self.members)

    def first(self, what: Outbound) -> Member:
        """Raises `NotFound`. A streamed body is no probe: it cannot be sent again."""
        now = self._clock()
        eligible = [item for item in self.members if item.forwarding.serves(what.path, what.model)]
        if not eligible:
            raise unserved(what)
        if what.body is None:
            admitted = [item for item in eligible if item.breaker.state == "closed"]
        else:
            admitted = [item for item in eligible if item.breaker.admits(now)]
        chosen = self._choose(admitted or eligible)
        chosen.breaker.admitted(now)
        return chosen

    def second(self, what: Outbound, tried: Member) -> Member | None:
        """None if no other upstream is worth an attempt."""
        now = self._clock()
        admitted = [
            item
            for item in self.members
            if item is not tried
            and item.breaker.admits(now)
            and item.forwarding.serves(what.path, what.model)
        ]
        if not admitted:
            return None
        chosen = self._choose(admitted)
        chosen.breaker.admitted(now)
        return chosen

    def _choose(self, members: list[Member]) -> Member:
        roomy = [member for member in members if member.pool.has_room] or members
        first = min(member.priority for member in roomy)
        best = [member for member in roomy if member.priority == first]
        if len(best) == 1:
            return best[0]
        left = self._random() * sum(member.weight for member in best)
        for member in best:
            left -= member.weight
            if left < 0:
                return member
        return best[-1]

    # --- all of them

    @property
    def counts(self) -> PoolCounts:
        counts = [member.pool.counts for member in self.members]
        return sum(counts[1:], counts[0])

    @property
    def calls(self) -> int:
        """Requests under way."""
        return sum(member.pool.calls for member in self.members)

    @property
    def states(self) -> dict[str, str]:
        """The state of each upstream's breaker."""
        return {member.name: member.breaker.state for member in self.members}

    def _changed(self) -> None:
        self.on_change(self.states)

    def status(self) -> dict[str, dict[str, Any]]:
        """By name of upstream: state and counts, as JSON."""
        now = self._clock()
        shown = {}
        for member in self.members:
            status, counts = member.breaker.status(now), member.pool.counts
            shown[member.name] = {
                "state": status.state,
                "calls": status.calls,
                "failures": status.failures,
                "opened": status.opened,
                "looks_in": round(status.looks_in, 1),
                "connections": counts.open,
                "queued": counts.queued,
            }
        return shown

    def sweep(self, now: float) -> None:
        for member in self.members:
            member.sweep(now)

    def drain(self) -> None:
        for member in self.members:
            member.pool.drain()

    async def close(self) -> None:
        looks = [member.looking for member in self.members if member.looking is not None]
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        for member in self.members:
            await member.pool.close()


class Attempt:
    """A request that may be sent to a second upstream. Implements `Call` towards the exchange and `Receiver`
    towards the pool.

    what happened before the answer             sent again if
    no connection (refused, TLS, time limit)    nothing of a streamed body is gone
    every connection taken, queue full          the same
    closed without a byte                       the method is idempotent, or the body is held: a generation's
                                                only effect is its answer
    429, 5xx but 504; 401, 402 on our own key   the same
    no first byte in time                       never: the client's patience is spent, the model may be at it
    """

    def __init__(self, router: Router, what: Outbound, receiver: Receiver) -> None:
        self._router = router
        self._what = what
        self._receiver = receiver
        self._member: Member
        self._call: Call
        self._again = False  # this is the second attempt
        self._touched = False  # a byte of a streamed body is gone
        self._paused = False

    @property
    def may_repeat(self) -> bool:
        """Whether a second attempt is left, and the request can be had again for it."""
        return not self._again and not self._touched

    @property
    def member(self) -> Member:
        return self._member

    @property
    def _harmless(self) -> bool:
        return self._what.body is not None or self._what.head.method in IDEMPOTENT

    def start(self, member: Member) -> None:
        """Raises what `Member.send` does; then nothing has changed."""
        self._call = member.send(self._what, self)
        self._member = member
        if self._paused:
            self._call.pause()

    # --- Call

    def write(self, data: bytes) -> None:
        self._touched = self._what.body is None
        self._call.write(data)

    def end_body(self) -> None:
        self._touched = self._what.body is None
        self._call.end_body()

    def cancel(self) -> None:
        self._call.cancel()

    def pause(self) -> None:
        self._paused = True
        self._call.pause()

    def resume(self) -> None:
        self._paused = False
        self._call.resume()

    # --- Receiver

    def response_head(self, head: ResponseHead) -> None:
        failed = self._member.at_fault(head.status)
        if failed and self.may_repeat and self._harmless and self._fall_back():
            return
        self._touched = True
        self._receiver.response_head(head)

    def response_data(self, data: bytes) -> None:
        self._receiver.response_data(data)

    def response_flush(self) -> None:
        self._receiver.response_flush()

    def response_end(self) -> None:
        self._receiver.response_end()

    def response_failed(self, error: GatewayError) -> None:
        unsent = isinstance(error, UpstreamUnreachable | UpstreamConnectTimeout | Overloaded)
        repeats = unsent or (isinstance(error, UpstreamClosed) and self._harmless)
        if not (repeats and self.may_repeat and self._fall_back()):
            self._receiver.response_failed(error)

    def upstream_writable(self, writable: bool) -> None:
        self._receiver.upstream_writable(writable)

    def _fall_back(self) -> bool:
        """Go to another upstream. False: there is none, or the request cannot be put for it."""
        failed, call = self._member, self._call
        member = self._router.second(self._what, failed)
        if member is None:
            return False
        try:
            self.start(member)
        except GatewayError as error:
            logger.warning("a request cannot be put for upstream %s: %s", member.name, error.message)
            return False
        call.cancel()
        self._again = True
        self._router.fallbacks += 1
        return True


def nothing(*_: object) -> None:
    """Nobody wants to know."""


def unserved(what: Outbound) -> NotFound:
    model = "" if what.model is None else f" for model {what.model!r:.100}"
    return NotFound(
        f"no upstream serves {what.path[:200].decode('latin-1')}{model} (upstreams: routes, models)",
        param="model" if what.model is not None else None,
    )


def retry_after(head: ResponseHead) -> float | None:
    """Seconds to leave the provider alone; a date (RFC 9110, section 10.2.3) counts as the default."""
    for name, value in head.headers:
        if name == b"retry-after":
            return seconds(value) or RETRY_AFTER_DEFAULT
    return None


def seconds(value: bytes | None) -> float | None:
    """What a header says of a time, s; None if it says nothing of use."""
    if value is None:
        return None
    try:
        said = float(value)
    except ValueError:
        return None
    return said if 0 < said < float("inf") else None
