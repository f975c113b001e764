"""The limits of the analysis in the configuration are those of the analysis."""

from __future__ import annotations

import msgspec
import pytest

from gateway.analysis.rules import Rules
from gateway.control.case import rules_of
from gateway.errors import InvalidValue
from gateway.settings import EvidenceSettings


def test_every_limit_can_be_configured_and_has_the_same_default() -> None:
    settings = EvidenceSettings().model_dump()
    for other in ("flags", "measured_per_second", "keep_seconds", "keep_bytes"):
        del settings[other]
    assert settings == msgspec.structs.asdict(Rules())
    assert EvidenceSettings().changes() == {}


def test_what_differs_is_taken_and_counts_stay_whole_after_storage() -> None:
    changes = EvidenceSettings(watermark=5, hard_stop=30, measured_per_second=9).changes()
    assert changes == {"watermark": 5.0, "hard_stop": 30}
    stored = msgspec.json.decode(b'{"watermark": 5.0, "hard_stop": 30.0}')
    rules = rules_of(stored)
    assert (rules.watermark, rules.hard_stop, type(rules.hard_stop)) == (5.0, 30, int)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidValue, match="watermark"):
        rules_of({"watermark": 1000.0})
