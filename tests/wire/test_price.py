"""What tokens cost, by kind, and as if nothing had been cached."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import price as module
from gateway.wire.price import Rates, Tariff, price
from gateway.wire.usage import Usage

RATES = Rates(3.0, 15.0, 0.3, 3.75, 6.0, 10.0, 20.0)
LONG = Rates(6.0, 22.5, 0.6, 7.5, 12.0, 10.0, 20.0)
tokens = st.integers(0, 10**7)


def test_the_example() -> None:
    assert doctest.testmod(module).failed == 0


def test_each_kind_has_its_rate() -> None:
    usage = Usage(prompt=1000, completion=200, cached=400, cache_write=300, reasoning=50, cache_write_1h=100)
    cost = price(Tariff(RATES), usage)
    assert cost.paid == pytest.approx((300 * 3 + 400 * 0.3 + 200 * 3.75 + 100 * 6 + 200 * 15) / 1e6)
    assert cost.uncached == pytest.approx((1000 * 3 + 200 * 15) / 1e6)


def test_audio_is_priced_apart() -> None:
    usage = Usage(prompt=1000, completion=200, audio_in=600, audio_out=150)
    cost = price(Tariff(RATES), usage)
    assert cost.paid == cost.uncached == pytest.approx((400 * 3 + 600 * 10 + 50 * 15 + 150 * 20) / 1e6)


@pytest.mark.parametrize(("prompt", "rates"), [(200_000, RATES), (200_001, LONG)])
def test_a_long_request_pays_the_long_rate_for_all_of_it(prompt: int, rates: Rates) -> None:
    tariff = Tariff(RATES, ((200_000, LONG),))
    assert price(tariff, Usage(prompt=prompt)).paid == pytest.approx(prompt * rates.input / 1e6)


@given(tokens, tokens, tokens, tokens, tokens, tokens, tokens)
def test_counts_that_do_not_add_up_are_cut_to_the_whole(
    prompt: int, completion: int, cached: int, written: int, hour: int, audio_in: int, audio_out: int
) -> None:
    usage = Usage(prompt, completion, cached, written, 0, audio_in, audio_out, hour)
    cost = price(Tariff(RATES), usage)
    assert 0 <= cost.paid <= (prompt * 10 + completion * 20) / 1e6 + 1e-9
    assert cost.uncached <= (prompt * 10 + completion * 20) / 1e6 + 1e-9
    if not cached and not written:
        assert cost.paid == cost.uncached
