"""The price list: models found however they are named, own prices first, and no price where none is known."""

from datetime import UTC, datetime

import genai_prices
import pytest

from gateway.prices import KEPT, PriceList, look_up
from gateway.settings import Price as Own
from gateway.wire.price import Price
from gateway.wire.usage import Usage

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
USAGE = Usage(prompt=10_000, completion=1_000, cached=4_000)
MODELS = ["gpt-4o-mini", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-pro", "deepseek-chat", "o3"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prompt", [10_000, 300_000])
def test_the_library_comes_to_the_same(model: str, prompt: int) -> None:
    usage = Usage(prompt=prompt, completion=1_000, cached=4_000)
    theirs = genai_prices.Usage(input_tokens=prompt, output_tokens=1_000, cache_read_tokens=4_000)
    at = datetime.fromtimestamp(NOW, UTC)
    expected = genai_prices.calc_price(theirs, model, genai_request_timestamp=at).total_price
    cost = PriceList({}).cost(model, usage, now=NOW)
    assert cost is not None
    assert cost.paid == pytest.approx(float(expected), rel=1e-9)
    assert cost.uncached >= cost.paid


@pytest.mark.parametrize("name", ["openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_a_model_is_found_by_a_longer_name(name: str) -> None:
    assert look_up(name, "", NOW) == look_up("gpt-4o-mini", "", NOW)


def test_the_provider_s_address_counts_first() -> None:
    there = look_up("deepseek/deepseek-chat", "https://openrouter.ai/api/v1", NOW)
    assert there is not None
    assert there != look_up("deepseek-chat", "", NOW)
    assert look_up("gpt-4o-mini", "https://nobody.invalid/v1", NOW) == look_up("gpt-4o-mini", "", NOW)


def test_what_nobody_prices_has_no_price() -> None:
    prices = PriceList({})
    assert prices.cost("my-own-model", USAGE, now=NOW) is None
    assert prices.cost("gpt-4o-mini", None, now=NOW) is None


def test_own_prices_win_and_their_gaps_are_filled() -> None:
    prices = PriceList({"gpt-4o-mini": Own(input=1, output=2), "mine": Own(input=1, output=2, cache_read=0)})
    assert prices.cost("gpt-4o-mini", USAGE, now=NOW) == Price(0.012, 0.012)
    assert prices.cost("mine", USAGE, now=NOW) == Price(0.008, 0.012)


def test_made_up_names_do_not_fill_the_memory() -> None:
    prices = PriceList({})
    for number in range(KEPT + 10):
        prices.tariff(f"model-{number}", now=NOW)
    assert len(prices._known) <= KEPT


def test_a_price_that_changes_is_looked_up_again() -> None:
    prices = PriceList({})
    first = prices.tariff("gpt-4o-mini", now=NOW)
    prices._known[("gpt-4o-mini", "")] = (NOW, None)
    assert prices.tariff("gpt-4o-mini", now=NOW + 60) is None
    assert prices.tariff("gpt-4o-mini", now=NOW + 3601) == first
