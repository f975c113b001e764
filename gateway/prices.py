"""The price list: genai-prices, which many people keep, and the configuration's own prices before it.

Prices are of the list in the installed package; nothing is fetched. A model's tariff is looked up when it is
first seen and then kept, so the data path pays for arithmetic only. What is not on the list has no price,
which is no data, not 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from gateway.settings import Price as Own
from gateway.wire.price import Price, Rates, Tariff, price
from gateway.wire.usage import Usage

KEPT: Final = 1000  # models; clients can make names up
FRESH: Final = 3600.0  # s; prices change on dates and, for some providers, by hour of the day
KINDS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_in": "input_audio_mtok",
    "audio_out": "output_audio_mtok",
}
INSTEAD: Final = {  # of a kind that has no price of its own
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_in": "input",
    "audio_out": "output",
}


class PriceList:
    """`own` are the configuration's prices by model."""

    def __init__(self, own: Mapping[str, Own]) -> None:
        self._own = {model: Tariff(_filled(given.model_dump())) for model, given in own.items()}
        self._known: dict[tuple[str, str], tuple[float, Tariff | None]] = {}

    def cost(self, model: str, usage: Usage | None, *, now: float, base_url: str = "") -> Price | None:
        """`now`: s since the epoch. `base_url` of the provider, which may price a model in its own way. None:
        no usage, or no price is known."""
        if usage is None:
            return None
        tariff = self.tariff(model, now=now, base_url=base_url)
        return None if tariff is None else price(tariff, usage)

    def tariff(self, model: str, *, now: float, base_url: str = "") -> Tariff | None:
        own = self._own.get(model)
        if own is not None:
            return own
        key = (model, base_url)
        seen = self._known.get(key)
        if seen is None or now - seen[0] > FRESH:
            if len(self._known) >= KEPT:
                self._known.clear()
            seen = self._known[key] = (now, look_up(model, base_url, now))
        return seen[1]


def look_up(model: str, base_url: str, now: float) -> Tariff | None:
    """By the provider's address, else by the model's name alone, else by a vendor's name before it, as
    aggregators write it (`openai/gpt-4o`)."""
    vendor, slash, short = model.partition("/")
    attempts: list[tuple[str, str | None, str | None]] = [(model, None, base_url)] if base_url else []
    attempts.append((model, None, None))
    if slash:
        attempts += [(short, vendor, None), (short, None, None)]
    for name, provider, url in attempts:
        try:
            _, found = get_snapshot().find_provider_model(name, None, provider, url)
        except LookupError:
            continue
        return _tariff(found.get_prices(datetime.fromtimestamp(now, UTC)))
    return None


def _tariff(prices: ModelPrice) -> Tariff | None:
    given = {kind: getattr(prices, name) for kind, name in KINDS.items()}
    if given["input"] is None and given["output"] is None:
        return None  # priced by image, second or request
    starts = {
        tier.start for value in given.values() if isinstance(value, TieredPrices) for tier in value.tiers
    }
    steps = [
        (start, _filled({kind: _at(value, start + 1) for kind, value in given.items()}))
        for start in sorted(starts, reverse=True)
    ]
    return Tariff(_filled({kind: _at(value, 0) for kind, value in given.items()}), tuple(steps))


def _at(value: Decimal | TieredPrices | None, tokens: int) -> float | None:
    """The price that holds for a request of so many tokens."""
    if not isinstance(value, TieredPrices):
        return None if value is None else float(value)
    held = value.base
    for tier in value.tiers:
        if tokens > tier.start:
            held = tier.price
    return float(held)


def _filled(given: Mapping[str, float | None]) -> Rates:
    rates: dict[str, float] = {}
    for kind in KINDS:
        value = given.get(kind)
        rates[kind] = rates[INSTEAD[kind]] if value is None and kind in INSTEAD else value or 0.0
    return Rates(**rates)
