"""One connection to the provider: bytes between a transport and the call that it serves."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from gateway.errors import UpstreamBroken, UpstreamClosed
from gateway.proxy.base import unforeseen
from gateway.proxy.upstream_call import NEVER, OpenCall, Owner, Phase
from gateway.proxy.upstream_response import ResponseReader

PROBE_AFTER, PROBE_EVERY = 60, 30  # s; a model may think for longer than a NAT keeps a silent connection


class Connection:
    """A transport to the provider and the call that it serves, if any."""

    __slots__ = (
        "_reader",
        "_reading",
        "call",
        "expires",
        "made",
        "owner",
        "ready",
        "retires",
        "served",
        "task",
        "transport",
        "writable",
    )

    transport: asyncio.Transport

    def __init__(self, owner: Owner, call: OpenCall) -> None:
        self.owner = owner
        self.call: OpenCall | None = call  # while connecting, the one it is made for
        self.task: asyncio.Task[object] | None = None  # that connects it
        self.made = False  # asyncio has called connection_made, and will call connection_lost
        self.ready = False  # made, and not yet closing
        self.writable = True
        self.retires = NEVER  # no new request from here on, by age
        self.expires = NEVER  # no new request from here on, by idleness or age
        self.served = 0  # answers so far
        self._reader: ResponseReader | None = None
        self._reading = True

    def take(self, call: OpenCall) -> None:
        self.call = call
        self._reader = ResponseReader(self.owner.head_bytes, answers_head=call.method == b"HEAD")
        if call.paused:  # not at once: uvloop starts to read when connection_made has returned
            asyncio.get_running_loop().call_soon(self._follow_pause)

    def _follow_pause(self) -> None:
        if self.call is not None and self.call.paused:
            self.pause_reading()

    def drop(self) -> None:
        """Close without farewell. A connection in the making is abandoned; cancelled once made, its task
        would close the socket without a word to the protocol."""
        self.call = None
        self._reader = None
        self.ready = False
        if self.made:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()

    def pause_reading(self) -> None:
        if self._reading and self.ready:
            self._reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and self.ready:
            self._reading = True
            self.transport.resume_reading()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class over TLS
        self.made = True
        if self.call is None:
            self.transport.abort()
            return
        self.ready = True
        self.transport.set_write_buffer_limits(high=self.owner.buffer_bytes)
        _probe_when_silent(transport.get_extra_info("socket"))
        self.owner.connected(self)

    def data_received(self, data: bytes) -> None:
        call, reader = self.call, self._reader
        if call is None or reader is None:  # a byte that nobody asked for
            self.owner.discard(self)
            return
        call.answered = True
        try:
            body = reader.feed(data)
            if reader.head is None:
                return
            call.since = self.owner.clock()
            receiver = call.receiver
            if call.phase is Phase.SENT:
                call.phase = Phase.READING
                call.body = ()
                self.owner.answered(call, reader.head)
                receiver.response_head(reader.head)
            if body and self.call is call:
                receiver.response_data(body)
            if self.call is not call:
                return
            if reader.complete:
                self._finish(call, reader)
            else:
                receiver.response_flush()
        except UpstreamBroken as error:  # by our reading, or by the receiver's
            call.fail(error)
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            call.fail(unforeseen())

    def eof_received(self) -> None:
        """Over TLS only a close_notify leads here: an answer that lasts to the end cannot be cut unseen."""
        call, reader = self.call, self._reader
        if call is not None and reader is not None and reader.end_of_file():
            self._finish(call, reader)
        else:
            self._lose(call, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(self.call, exc)
        self.owner.gone(self)

    def pause_writing(self) -> None:
        self.writable = False
        if self.call is not None:
            self.call.pump()

    def resume_writing(self) -> None:
        self.writable = True
        if self.call is not None:
            self.call.since = self.owner.clock()
            self.call.pump()

    # --- ends

    def _finish(self, call: OpenCall, reader: ResponseReader) -> None:
        """Back to the pool if the next answer can only be the next request's, then tell the receiver: it may
        start a request at once."""
        sent = call.sent_whole() and self.transport.get_write_buffer_size() == 0
        self.call = None
        self._reader = None
        self.served += 1
        receiver = call.receiver
        call.finish()
        if reader.reusable and sent and not self.transport.is_closing():
            self.resume_reading()
            self.owner.release(self, call.since)
        else:
            self.owner.discard(self)
        try:
            receiver.response_end()
        except UpstreamBroken as error:
            receiver.response_failed(error)
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            receiver.response_failed(unforeseen())

    def _lose(self, call: OpenCall | None, exc: Exception | None) -> None:
        """The provider closed, or the network did."""
        self.owner.discard(self)
        if call is None or call.phase is Phase.DONE:
            return
        if self.served and call.may_be_sent_again():
            call.since = self.owner.clock()
            self.owner.send_again(call)
            return
        why = f": {exc}" if exc is not None else ""
        closed = f"{self.owner.origin} closed the connection"
        if call.answered:
            call.fail(UpstreamBroken(f"{closed} in the middle of its answer{why}"))
        else:
            call.fail(UpstreamClosed(f"{closed} without an answer{why}"))


def _probe_when_silent(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPINTVL", PROBE_EVERY)):
        if hasattr(socket, option):  # the names differ between systems
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
