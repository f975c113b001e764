"""Spans to an OpenTelemetry collector, by HTTP or gRPC, beside the requests: what cannot be delivered waits,
what does not fit is dropped and counted, and nobody waits for a collector.

OTLP 1.x: https://opentelemetry.io/docs/specs/otlp
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import aiohttp

from gateway.settings import Settings, Traces
from gateway.telemetry import grpc, otlp
from gateway.telemetry.spans import SpanQueue, Value

logger = logging.getLogger(__name__)

SCOPE = "prompt-canary-gateway"
HTTP_PATH = "/v1/traces"
GRPC_PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SLICE = 16  # spans that are encoded before others have their turn, about 0.5 ms
PAUSE, PAUSE_MOST = 1.0, 30.0  # s after a failure, doubling
AGAIN_HTTP = frozenset({429, 502, 503, 504})  # OTLP: the same may be sent again
AGAIN_GRPC = frozenset({1, 4, 8, 10, 11, 14, 15})
FAILURES = (TimeoutError, OSError, aiohttp.ClientError, grpc.GrpcFailed)


def resource(settings: Settings) -> dict[str, Value]:
    """What the spans of this process are of."""
    try:
        installed = version(SCOPE)
    except PackageNotFoundError:  # it runs from its sources
        installed = "source"
    return {
        "service.name": settings.traces.service_name,
        "service.version": installed,
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "host.name": socket.gethostname(),
    }


class Refused(Exception):
    """The collector will never take this batch."""


class Exporter:
    """`resource`: what all spans are of."""

    def __init__(self, settings: Traces, queue: SpanQueue, resource: Mapping[str, Value]) -> None:
        assert settings.endpoint is not None
        self.sent = 0  # spans that a collector has taken, since the start
        self._settings = settings
        self._queue = queue
        self._resource = resource
        self._url = urlsplit(settings.endpoint)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        if self._tls is not None and settings.protocol == "grpc":
            self._tls.set_alpn_protocols(["h2"])
        self._session: aiohttp.ClientSession | None = None
        self._failing = False
        self._batch: tuple[int, bytes] | None = None  # on its way
        self._attempt: asyncio.Task[None] | None = None

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval)
            while len(self._queue):
                await self._deliver_next()

    async def close(self) -> None:
        """What is left goes out, if the collector takes it at once."""
        try:
            while not self._failing and (self._batch is not None or len(self._queue)):
                await self._try(self._batch or await self._encoded())
        except (*FAILURES, Refused) as error:
            logger.warning("the last spans are lost: %s", error)
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver_next(self) -> None:
        """One batch, as often as it takes."""
        batch = self._batch = await self._encoded()
        pause = PAUSE
        while True:
            try:
                await self._try(batch)
            except Refused as error:
                logger.error("%d spans are lost: %s", batch[0], error)
                self._batch = None
                return
            except FAILURES as error:
                if not self._failing:
                    logger.warning("spans wait: %s", str(error) or "the collector does not answer")
                self._failing = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_MOST)
                continue
            if self._failing:
                logger.info("the collector takes spans again")
            self._failing = False
            return

    async def _encoded(self) -> tuple[int, bytes]:
        spans = self._queue.take(self._settings.batch)
        parts = []
        try:
            for number, span in enumerate(spans, 1):
                parts.append(otlp.encode_span(span))
                if number % SLICE == 0:
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._queue.give_back(spans)
            raise
        return len(spans), otlp.request(parts, self._resource, SCOPE)

    async def _try(self, batch: tuple[int, bytes]) -> None:
        """Raises `Refused`, or one of `FAILURES` after which it may be tried again. Whoever waits may be
        cancelled, the attempt goes on: what a collector has perhaps taken is not sent twice at the end."""
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._send(batch))
        try:
            await asyncio.shield(self._attempt)
        finally:
            if self._attempt.done():
                self._attempt = None

    async def _send(self, batch: tuple[int, bytes]) -> None:
        count, body = batch
        async with asyncio.timeout(self._settings.timeout):
            await (self._by_grpc(body) if self._settings.protocol == "grpc" else self._by_http(body))
        self.sent += count
        self._batch = None

    async def _by_http(self, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {**self._settings.headers, "content-type": "application/x-protobuf"}
        url = self._url.geturl().rstrip("/")
        url = url if url.endswith(HTTP_PATH) else url + HTTP_PATH
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status in AGAIN_HTTP:
                raise aiohttp.ClientError(f"the collector answered {answer.status}")
            if answer.status != 200:
                raise Refused(f"the collector answered {answer.status}")

    async def _by_grpc(self, body: bytes) -> None:
        address = self._url.hostname or "", self._url.port or 4317
        metadata = list(self._settings.headers.items())
        try:
            await grpc.call(address, GRPC_PATH, body, metadata=metadata, tls=self._tls)
        except grpc.GrpcFailed as error:
            if error.status is None or error.status in AGAIN_GRPC:
                raise
            raise Refused(str(error)) from error
