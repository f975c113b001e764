"""What an answer's tokens cost: rates × usage, in USD.

paid      request tokens by kind (plain, read from a cache, written to one, audio) and the answer's
uncached  the same request as if nothing had been cached, which is what arms are compared by: the cache of a
          new prompt is cold, and that is no fault of the prompt (docs: statistics, costs)
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.wire.usage import Usage

MILLION: Final = 1e6


class Price(msgspec.Struct, frozen=True):
    """USD. Reasoning tokens are part of the answer's."""

    paid: float
    uncached: float


class Rates(msgspec.Struct, frozen=True):
    """USD for a million tokens of each kind."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    audio_in: float
    audio_out: float


class Tariff(msgspec.Struct, frozen=True):
    """`steps`: (request tokens, rates), longest first; above so many, these rates hold for all tokens of the
    request, which is how Anthropic, Google and OpenAI price long contexts."""

    base: Rates
    steps: tuple[tuple[int, Rates], ...] = ()

    def rates(self, prompt: int) -> Rates:
        for start, rates in self.steps:
            if prompt > start:
                return rates
        return self.base


def price(tariff: Tariff, usage: Usage) -> Price:
    """What is more than the whole, as some providers count, is taken for the whole.

    >>> plain = Rates(2.0, 8.0, 0.5, 2.0, 2.0, 2.0, 8.0)
    >>> price(Tariff(plain), Usage(prompt=1_000_000, completion=1_000_000, cached=500_000))
    Price(paid=9.25, uncached=10.0)
    """
    prompt, completion = usage.prompt, usage.completion
    rates = tariff.rates(prompt)
    audio_in = min(usage.audio_in, prompt)
    read = min(usage.cached, prompt - audio_in)
    written = min(usage.cache_write, prompt - audio_in - read)
    audio_out = min(usage.audio_out, completion)
    fixed = (completion - audio_out) * rates.output
    if audio_in or audio_out:
        fixed += audio_in * rates.audio_in + audio_out * rates.audio_out
    paid = fixed + (prompt - audio_in - read - written) * rates.input
    if read or written:
        hour = min(usage.cache_write_1h, written)
        paid += read * rates.cache_read + (written - hour) * rates.cache_write + hour * rates.cache_write_1h
    uncached = fixed + (prompt - audio_in) * rates.input
    return Price(paid / MILLION, uncached / MILLION)
