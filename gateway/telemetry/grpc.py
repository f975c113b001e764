"""One gRPC call without a stream, on a connection of its own: what OTLP needs of
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

STREAM = 1
READ = 65536


class GrpcFailed(Exception):
    """`status` of gRPC; None: there was none."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


async def call(
    address: tuple[str, int],
    path: str,
    message: bytes,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    tls: ssl.SSLContext | None = None,
) -> None:
    """Returns once the server has answered OK. Raises `GrpcFailed` and `OSError`."""
    host, port = address
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        exchange = _Exchange(reader, writer)
        exchange.ask(f"{host}:{port}", path, metadata, secure=tls is not None)
        await exchange.send(b"\0" + len(message).to_bytes(4, "big") + message)
        await exchange.finish()
    except ProtocolError as error:
        raise GrpcFailed(f"the collector does not speak HTTP/2: {error}") from error
    finally:
        writer.close()


class _Exchange:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._headers: dict[str, str] = {}
        self._ended = False

    def ask(self, authority: str, path: str, metadata: Sequence[tuple[str, str]], *, secure: bool) -> None:
        self._http.initiate_connection()
        own = [
            (":method", "POST"),
            (":scheme", "https" if secure else "http"),
            (":path", path),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self._http.send_headers(STREAM, [*own, *((name.lower(), value) for name, value in metadata)])

    async def send(self, data: bytes) -> None:
        """As fast as the server's windows allow."""
        while data and not self._ended:
            most = min(
                self._http.local_flow_control_window(STREAM), self._http.max_outbound_frame_size, len(data)
            )
            if most > 0:
                self._http.send_data(STREAM, data[:most], end_stream=most == len(data))
                data = data[most:]
                self._writer.write(self._http.data_to_send())
            else:
                await self._hear()
        await self._writer.drain()

    async def finish(self) -> None:
        while not self._ended:
            await self._hear()
        status = self._headers.get("grpc-status", "")
        if status != "0":
            what = self._headers.get("grpc-message") or f"HTTP status {self._headers.get(':status')}"
            raise GrpcFailed(f"the collector answered {status or 'no status'}: {what}", _number(status))

    async def _hear(self) -> None:
        self._writer.write(self._http.data_to_send())
        data = await self._reader.read(READ)
        if not data:
            raise GrpcFailed("the collector closed the connection")
        for event in self._http.receive_data(data):
            self._handle(event)
        self._writer.write(self._http.data_to_send())

    def _handle(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length, STREAM)
        elif isinstance(event, StreamEnded):
            self._ended = True
        elif isinstance(event, StreamReset | ConnectionTerminated):
            raise GrpcFailed(f"the collector ended the call: {event.error_code!r}")


def _number(status: str) -> int | None:
    return int(status) if status.isdigit() else None
