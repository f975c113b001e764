from statistics import fmean, stdev

import pytest

from gateway.simulator.draws import chance, draw, normal
from gateway.simulator.text import BANK, mark, marked_answers, marked_quality, words


def test_the_same_seed_and_identity_draw_the_same_for_ever() -> None:
    assert draw(1, b"a") == draw(1, b"a")
    assert draw(1, b"a").identity == 2_994_196_244


def test_seeds_and_identities_draw_apart() -> None:
    assert len({draw(seed, identity) for seed in (0, 1, 2**63 - 1) for identity in (b"", b"a", b"b")}) == 9


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3, 1.0])
def test_chance_keeps_its_rate(rate: float) -> None:
    hits = fmean(chance(rate, draw(1, b"%d" % i).error) for i in range(20_000))
    assert hits == pytest.approx(rate, abs=0.01)


def test_normal_is_standard() -> None:
    values = [normal(draw(1, b"%d" % i).quality) for i in range(20_000)]
    assert fmean(values) == pytest.approx(0, abs=0.03)
    assert stdev(values) == pytest.approx(1, abs=0.03)


def test_words_are_an_endless_cycle_and_cost_nothing_to_escape() -> None:
    assert words(3, 5) == BANK[3:8]
    assert words(len(BANK) - 1, 3) == (BANK[-1], BANK[0], BANK[1])
    assert len(words(7, 1000)) == 1000
    assert all(b'"' not in word and b"\\" not in word for word in BANK)
    assert any(len(word.decode()) < len(word) for word in BANK)


def test_the_quality_mark_is_read_back_and_the_last_one_counts() -> None:
    assert marked_quality(mark(0.834).decode()) == 0.83
    assert marked_quality("[quality 0.10] then [quality 1.00] end") == 1.0
    assert marked_quality("nothing") is None
    assert [marked_answers(text) for text in ("", "[quality 0.10] [quality 1.00]")] == [0, 2]
