"""Spans to an OpenTelemetry collector, beside the requests: what cannot be delivered waits, what does not fit
is dropped and counted, and nobody waits for a collector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from gateway.settings import Traces
from gateway.telemetry import otlp
from gateway.telemetry.delivery import FAILURES, SCOPE, TRACES, Delivery, Refused
from gateway.telemetry.spans import SpanQueue, Value

logger = logging.getLogger(__name__)

SLICE = 16  # spans that are encoded before others have their turn, about 0.5 ms
PAUSE, PAUSE_MOST = 1.0, 30.0  # s after a failure, doubling


class Exporter:
    """`resource`: what all spans are of."""

    def __init__(self, settings: Traces, queue: SpanQueue, resource: Mapping[str, Value]) -> None:
        self.sent = 0  # spans that a collector has taken, since the start
        self._settings = settings
        self._queue = queue
        self._resource = resource
        self._delivery = Delivery(settings, TRACES)
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
        await self._delivery.close()

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
        await self._delivery.send(body)
        self.sent += count
        self._batch = None
