"""What /metrics shows, to an OpenTelemetry collector now and then. Counts are cumulative, so an export that
fails is not sent again: the next one says all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from gateway.errors import GatewayError
from gateway.settings.telemetry import Metrics
from gateway.telemetry import otlp_metrics
from gateway.telemetry.delivery import FAILURES, METRICS, SCOPE, Delivery, Refused
from gateway.telemetry.metrics import Sample
from gateway.telemetry.spans import Value

logger = logging.getLogger(__name__)

Read = Callable[[], Awaitable[Sequence[Sample]]]
LAST_WORDS = 1.0  # s that the last export has at the end


class MetricsExporter:
    """`read` gives the samples, `since` when their counts began (ns since the epoch; 0: not known yet)."""

    def __init__(
        self, settings: Metrics, read: Read, since: Callable[[], int], resource: Mapping[str, Value]
    ) -> None:
        self._settings = settings
        self._read = read
        self._since = since
        self._resource = resource
        self._delivery = Delivery(settings, METRICS)
        self._failing = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval)
            await self.export()

    async def export(self) -> bool:
        """Whether the collector has taken it."""
        try:
            samples = await self._read()
            body = otlp_metrics.request(
                samples,
                self._resource,
                SCOPE,
                since=self._since(),
                now=time.time_ns(),
                conventions=self._settings.conventions,
            )
            await self._delivery.send(body)
        except (GatewayError, *FAILURES, Refused) as error:
            if not self._failing:
                why = str(error) or "the collector does not answer"
                logger.warning("metrics are not exported for now: %s", why)
            self._failing = True
            return False
        if self._failing:
            logger.info("the collector takes metrics again")
        self._failing = False
        return True

    async def close(self) -> None:
        """With the counts until now, if the collector takes them at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.export()
        await self._delivery.close()


@contextlib.asynccontextmanager
async def measured(
    settings: Metrics, read: Read, since: Callable[[], int], resource: Mapping[str, Value]
) -> AsyncIterator[None]:
    """Export in the background, where the configuration names a collector."""
    if settings.endpoint is None:
        yield
        return
    exporter = MetricsExporter(settings, read, since, resource)
    running = asyncio.create_task(exporter.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await exporter.close()
