"""`simulate`, as it prints."""

from __future__ import annotations

from tests.cli.conftest import Cli

GOLDEN = """\
standard at 1000 sessions/h
false rollbacks: 0 of 3, 0.0% (0.0-56.1)
missed regressions: 0 of 3, 0.0% (0.0-56.1); promoted: 0
scenario          candidate  rolled back          promoted             exposed  hours        judge calls  held
judge -.20        harmful    100.0% (43.9-100.0)  0.0% (0.0-56.1)      35 / 35  0.4 / 0.4    160 / 160    –
A/A daily rhythm  same       0.0% (0.0-56.1)      100.0% (43.9-100.0)  –        2.05 / 2.05  1514 / 1514  –
Rates with their 95 % Wilson intervals. Exposed: canary sessions before a rollback, median / 90 %.
Until the decision: hours, median / 80 %; judge calls, median / 90 %.
"""

TWO = ("--scenario", "judge -.20", "--scenario", "rhythm")


def test_a_simulation_is_a_table(local: Cli) -> None:
    result = local("simulate", "--sessions-per-hour", "1000", "--runs", "3", *TWO)
    assert (result.code, [line.rstrip() for line in result.out.splitlines()]) == (0, GOLDEN.splitlines())


def test_a_simulation_as_json(local: Cli) -> None:
    options = ("--policy", "fast", "--sessions-per-hour", "2000", "--runs", "1", "--scenario", "-.05")
    found = local("simulate", *options, "--json").json
    assert (found["policy"], found["sessions_per_hour"]) == ("fast", 2000.0)
    (scenario,) = found["scenarios"]
    assert (scenario["scenario"], scenario["truth"], scenario["runs"]) == ("judge -.05", "tolerated", 1)
    assert found["missed_regressions"] is found["false_rollbacks"] is None


def test_a_scenario_that_there_is_not(local: Cli) -> None:
    result = local("simulate", "--sessions-per-hour", "100", "--scenario", "nothing")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: no scenario has 'nothing' in its name; there is A/A; judge -.02; ")
