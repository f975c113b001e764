"""One OTLP export, by HTTP or gRPC: https://opentelemetry.io/docs/specs/otlp."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from gateway.settings.telemetry import Collector
from gateway.telemetry import grpc
from gateway.telemetry.spans import Value

SCOPE = "prompt-canary-gateway"
AGAIN_HTTP = frozenset({429, 502, 503, 504})  # OTLP: the same may be sent again
AGAIN_GRPC = frozenset({1, 4, 8, 10, 11, 14, 15})
FAILURES = (TimeoutError, OSError, aiohttp.ClientError, grpc.GrpcFailed)


class Service(NamedTuple):
    """One kind of signal: its path by HTTP, and its method by gRPC."""

    http: str
    grpc: str


TRACES = Service("/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export")
METRICS = Service("/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")


class Refused(Exception):
    """The collector will never take this."""


def resource(settings: Collector, process: int | None = None) -> dict[str, Value]:
    """What the signals of a process (this one) are of."""
    try:
        installed = version(SCOPE)
    except PackageNotFoundError:  # it runs from its sources
        installed = "source"
    return {
        "service.name": settings.service_name,
        "service.version": installed,
        "service.instance.id": f"{socket.gethostname()}-{process or os.getpid()}",
        "host.name": socket.gethostname(),
    }


class Delivery:
    """To one collector. To be used in a running loop."""

    def __init__(self, settings: Collector, service: Service) -> None:
        assert settings.endpoint is not None
        self._settings = settings
        self._service = service
        self._url = urlsplit(settings.endpoint)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        if self._tls is not None and settings.protocol == "grpc":
            self._tls.set_alpn_protocols(["h2"])
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: bytes) -> None:
        """Raises `Refused`, or one of `FAILURES` after which the same may be sent again."""
        async with asyncio.timeout(self._settings.timeout):
            await (self._by_grpc(body) if self._settings.protocol == "grpc" else self._by_http(body))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _by_http(self, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {**self._settings.headers, "content-type": "application/x-protobuf"}
        url, path = self._url.geturl().rstrip("/"), self._service.http
        url = url if url.endswith(path) else url + path
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status in AGAIN_HTTP:
                raise aiohttp.ClientError(f"the collector answered {answer.status}")
            if answer.status != 200:
                raise Refused(f"the collector answered {answer.status}")

    async def _by_grpc(self, body: bytes) -> None:
        address = self._url.hostname or "", self._url.port or 4317
        metadata = list(self._settings.headers.items())
        try:
            await grpc.call(address, self._service.grpc, body, metadata=metadata, tls=self._tls)
        except grpc.GrpcFailed as error:
            if error.status is None or error.status in AGAIN_GRPC:
                raise
            raise Refused(str(error)) from error
