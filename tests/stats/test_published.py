"""The table of Kurennoy et al. (500 pairs, noise N(0, 1) in each arm, one-sided α .05)."""

from itertools import accumulate
from math import sqrt
from random import Random

import pytest

from benchmarks.decisions.boundaries import bonferroni, crosses, gavi, heights, msprt, yeast

PAIRS, ALPHA, RUNS = 500, 0.05, 1000
SD = sqrt(2.0)

PUBLISHED = {
    "yeast": (heights(yeast(PAIRS, SD, ALPHA), PAIRS), (0.05, 0.44, 0.92, 1.00)),
    "gavi": (heights(gavi(PAIRS, SD, ALPHA), PAIRS), (0.02, 0.23, 0.76, 0.99)),
    "msprt": (heights(msprt(25.0, SD, ALPHA), PAIRS), (0.03, 0.24, 0.76, 0.99)),
    "bonferroni": (heights(bonferroni(PAIRS, SD, ALPHA), PAIRS), (0.00, 0.04, 0.40, 0.90)),
}


@pytest.mark.parametrize(("column", "effect"), list(enumerate([0.0, 0.1, 0.2, 0.3])))
def test_the_comparators_find_what_was_published(column: int, effect: float) -> None:
    rng = Random(f"published {effect}")
    paths = [list(accumulate([rng.gauss(effect, SD) for _ in range(PAIRS)])) for _ in range(RUNS)]
    for name, (boundary, row) in PUBLISHED.items():
        found = sum(crosses(path, boundary) for path in paths) / RUNS
        error = sqrt(max(row[column] * (1.0 - row[column]), 0.005) / RUNS)
        assert abs(found - row[column]) < 3.5 * error + 0.006, (name, found)  # two digits were printed
