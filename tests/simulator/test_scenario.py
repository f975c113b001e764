from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.faults import FAULTS
from gateway.simulator.scenario import Cast, Scenario, load_scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "config" / "scenarios"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_scenarios_we_ship_are_valid(path: Path) -> None:
    assert load_scenario(path.read_text(), source=path.name)


def test_the_quickstart_waits_20_ms_and_5_ms_a_token() -> None:
    default = load_scenario((SCENARIOS / "quickstart.yaml").read_text()).default
    assert (
        (default.first_token_ms, default.gap_ms)
        == (20, 5)
        == (
            Scenario().default.first_token_ms,
            Scenario().default.gap_ms,
        )
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sed: 1", ["s.yaml: sed: unknown field", "seed, models"]),
        ("default: {qualty: 1}", ["s.yaml: default.qualty: unknown field", "quality"]),
        ("judge: {nois: 1}", ["judge.nois", "marker, noise"]),
        ("judge: {behaviour: {x: 1}}", ["judge.behaviour.x", "first_token_ms"]),
        ("default: {quality: 1.5}", ["default.quality", "1.5", "less than or equal to 1"]),
        ("default: {faults: {nope: 1}}", ["default.faults", "'nope' is not a fault", "gzip"]),
        ("default: {faults: {gzip: 0.7, bom: 0.7}}", ["together are above 1"]),
        ("rules: [{name: a, behaviour: {}}]", ["rules.0", "needs one of contains, matches and model"]),
        ("rules: [{name: a, matches: '(', behaviour: {}}]", ["rules.0.matches", "not a regular expression"]),
        ("models: []", ["models", "at least 1"]),
        ("[1]", ["expected a mapping", "list"]),
        ("a: b: c", ["s.yaml: not YAML"]),
        ("seed: many", ["seed", "'many'"]),
    ],
)
def test_a_slip_is_named_with_its_place_and_what_is_allowed(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(text, source="s.yaml")
    for part in parts:
        assert part in caught.value.message


def test_the_first_rule_that_fits_changes_only_what_it_says() -> None:
    cast = Cast(
        load_scenario("""
default: {tokens: 7, quality: 0.8}
rules:
  - {name: both, contains: alpha, model: big, behaviour: {quality: 0.1}}
  - {name: word, contains: alpha, behaviour: {quality: 0.2}}
  - {name: pattern, matches: 'v\\d+$', behaviour: {quality: 0.3}}
""")
    )
    found = [
        cast.behaviour(*given) for given in [("alpha", "big"), ("alpha", "x"), ("is v12", "x"), ("-", "x")]
    ]
    assert [(name, each.quality, each.tokens) for name, each in found] == [
        ("both", 0.1, 7),
        ("word", 0.2, 7),
        ("pattern", 0.3, 7),
        ("default", 0.8, 7),
    ]


def test_every_fault_can_be_in_a_scenario() -> None:
    rates = ", ".join(f"{name}: 0" for name in FAULTS)
    assert len(load_scenario(f"default: {{faults: {{{rates}}}}}").default.faults) == len(FAULTS)
