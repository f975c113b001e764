"""An OpenTelemetry collector that keeps what it is given, by OTLP's own classes, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

Protocol = Literal["http", "grpc"]


@dataclass
class Collector:
    """`refuses`: answers that come first, an HTTP status or a gRPC code each. `port` 0: a free one."""

    protocol: Protocol
    port: int = 0
    refuses: list[Any] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    measured: list[ExportMetricsServiceRequest] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the newest export, by name."""
        (resource,) = self.measured[-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    async def span(self, limit: float = 5.0) -> Any:
        """The only one."""
        async with asyncio.timeout(limit):
            while not self.spans:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        (span,) = self.spans
        return span

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        self.headers.append(headers)


class _Metrics(MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.collector.measured.append(request)
        return ExportMetricsServiceResponse()


class _Service(TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.collector.refuses:
            context.abort(self.collector.refuses.pop(0), "not now")
        headers = {entry.key: entry.value for entry in context.invocation_metadata()}
        self.collector.take(request.SerializeToString(), headers)
        return ExportTraceServiceResponse()


@asynccontextmanager
async def running_collector(collector: Collector) -> AsyncIterator[Collector]:
    run = _by_grpc if collector.protocol == "grpc" else _by_http
    async with run(collector):
        yield collector


@asynccontextmanager
async def _by_grpc(collector: Collector) -> AsyncIterator[None]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(_Service(collector), server)  # type: ignore[no-untyped-call]
    add_MetricsServiceServicer_to_server(_Metrics(collector), server)  # type: ignore[no-untyped-call]
    collector.port = server.add_insecure_port(f"127.0.0.1:{collector.port}")
    server.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.stop(None).wait)


@asynccontextmanager
async def _by_http(collector: Collector) -> AsyncIterator[None]:
    async def export(request: web.Request) -> web.Response:
        if collector.refuses:
            return web.Response(status=collector.refuses.pop(0))
        assert request.headers["content-type"] == "application/x-protobuf"
        collector.take(await request.read(), {name.lower(): value for name, value in request.headers.items()})
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    async def measure(request: web.Request) -> web.Response:
        collector.measured.append(ExportMetricsServiceRequest.FromString(await request.read()))
        return web.Response(
            body=ExportMetricsServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    app = web.Application(client_max_size=2**26)
    app.add_routes([web.post("/v1/traces", export), web.post("/v1/metrics", measure)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", collector.port).start()
    collector.port = runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()


def attributes(of: Any) -> dict[str, Any]:
    """Of a span, an event or a resource."""
    return {pair.key: _value(pair.value) for pair in of.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)
