"""The fold: which units enter, when, in what order, and once."""

from __future__ import annotations

from itertools import chain
from random import Random

import msgspec
import pytest

from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.domain.observation import Assigned, Batch, Drawn, Observed
from gateway.domain.observation import Evidence as Record
from gateway.errors import InvalidValue
from gateway.stats.eprocess import Harm, measured_share
from gateway.stats.srm import HOLD_AT
from gateway.stats.wealth import evidence_for
from tests.support.fold import COLD, STANDARD, Log, ended, evidence, pin, score, whole


def harm(state: Evidence, metric: str) -> list[float]:
    return state.state.comparisons[metric].harm.wealth.sums


def units(state: Evidence, metric: str) -> list[int]:
    return state.state.comparisons[metric].effect.units


def traffic(seed: int, seconds: int = 900, per_second: int = 3) -> list[tuple[float, Record]]:
    """Records with the time of their writing: sessions of several turns, scores, errors."""
    rng = Random(seed)
    records: list[tuple[float, Record]] = []
    for number in range(seconds * per_second):
        at = rng.random() * seconds
        unit = pin(number, at, canary=rng.random() < 0.5, judged=rng.random() < 0.3)
        records.append((at, Assigned(unit)))
        started = at
        for turn in range(1 + int(rng.random() * 4)):
            total = rng.expovariate(0.2)
            outcome = "prompt" if rng.random() < 0.05 else "provider" if rng.random() < 0.02 else "ok"
            records.append(
                (started + total, ended(unit, total=total, outcome=outcome, turn=turn, at=started))
            )
            started += total + rng.expovariate(0.05)
        if unit.judged:
            records.append((at + rng.expovariate(0.05), score(unit, rng.random())))
    return sorted(records, key=lambda pair: pair[0])


def batches(records: list[tuple[float, Record]], size: int = 50) -> list[Batch]:
    parts = [records[start : start + size] for start in range(0, len(records), size)]
    return [
        Batch("w", index + 1, part[-1][0], tuple(record for _, record in part))
        for index, part in enumerate(parts)
    ]


def test_a_batch_is_folded_once_and_what_is_missing_is_counted() -> None:
    state = evidence()
    first = Batch("w", 1, 1.0, (Assigned(pin(1, 0.5)),))
    assert state.fold(first)
    before = state.to_bytes()
    assert not state.fold(first)
    assert state.to_bytes() == before
    assert state.fold(Batch("w", 4, 2.0, (), dropped=7))
    assert state.fold(Batch("another", 1, 2.0, (), dropped=2))
    assert state.state.lost_batches == 2
    assert state.state.dropped == 9


@pytest.mark.parametrize("cut", [1, 40, 90])
def test_a_checkpoint_anywhere_changes_nothing(cut: int) -> None:
    log = batches(traffic(1))
    whole_log, resumed = evidence(), evidence()
    whole_log.step(300.0)
    resumed.step(300.0)
    for index, batch in enumerate(log):
        whole_log.fold(batch)
        resumed.fold(batch)
        if index == cut:
            resumed = Evidence.from_bytes(resumed.to_bytes())
            assert not resumed.fold(batch)
    assert resumed.to_bytes() == whole_log.to_bytes()
    assert min(units(whole_log, "judge")) > 100


def test_arrival_within_the_watermark_does_not_change_what_is_folded() -> None:
    """The same records, each written up to 40 s later than it could have been, whichever the arm."""
    rng = Random(2)
    plain = [
        (at, record) for at, record in traffic(2) if not isinstance(record, Observed) or record.total < 15
    ]
    delayed = sorted(((at + 40.0 * rng.random(), record) for at, record in plain), key=lambda pair: pair[0])
    first, second = evidence(), evidence()
    for state, records in ((first, plain), (second, delayed)):
        for batch in batches(records):
            state.fold(batch)
        Log(state, "end").write(5000.0)
    for metric in ("latency_p50", "latency_p99", "tokens", "cost"):
        assert harm(first, metric) == pytest.approx(harm(second, metric), rel=1e-12)
        assert units(first, metric) == units(second, metric)


def test_a_score_enters_as_the_formula_says() -> None:
    state, log, by_hand = evidence(), None, Harm.of(0.0, later=2)
    log = Log(state)
    rng = Random(3)
    predicted = 0.2
    for number in range(50):
        unit = pin(number, float(number), canary=number % 2 == 0, judged=True)
        value = rng.random()
        log.write(number + 0.9, Assigned(unit), ended(unit, total=0.5), score(unit, value))
        by_hand.update(unit.canary, 1.0 - value, 0.5, predicted)
        predicted += (1.0 - 2.0**-0.01) * (1.0 - value - predicted)
    log.write(1000.0)
    assert harm(state, "judge") == pytest.approx(by_hand.wealth.sums)


def test_a_judged_share_knows_the_rates_of_the_judge() -> None:
    """Three stable to one canary are judged at weight .1; without j0 the sample ratio would be off."""
    state, rng = evidence(), Random(4)
    log = Log(state)
    for number in range(6000):
        canary = rng.random() < 0.1
        judged = rng.random() < (1.0 if canary else 1 / 3)
        at = number / 10
        unit = Drawn(number.to_bytes(16, "big"), canary, 0.1, 1.0, 1.0, at, judged, 1.0, 1 / 3)
        log.write(at, *whole(unit, total=0.1), *([score(unit, 0.8)] if judged else []))
    log.write(2000.0)
    ratio = state.state.scored
    assert ratio.units > 2000
    assert ratio.get() < HOLD_AT
    assert measured_share(0.1, 1.0, 1 / 3) == pytest.approx(0.25)


def test_thresholds_come_from_the_first_stable_sessions_only() -> None:
    state = evidence(thresholds=None, rules=msgspec.structs.replace(COLD, freeze_after=100))
    log = Log(state)
    for number in range(400):
        unit = pin(number, float(number), canary=number % 2 == 1)
        log.write(number + 0.5, *whole(unit, total=90.0 if unit.canary else number / 100.0))
    assert state.state.samples == {}
    assert state.state.frozen["total"].p50 == pytest.approx(0.98)  # of 0, .02, ... 1.98
    assert "latency_p50" in state.state.comparisons
    folded = units(state, "latency_p50")
    assert folded[0] <= (400 - 60 - 200) / 2  # none of those that the threshold is made of


def test_a_repeated_request_and_a_later_one_bring_no_unit() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0, canary=True)
    log.write(5.0, *whole(unit), ended(unit, turn=1, at=4.0, outcome="prompt", again=True))
    log.write(700.0, ended(unit, turn=2, at=601.0, outcome="prompt"))
    assert not any(harm(state, "errors"))
    log.write(1000.0)
    assert units(state, "errors") == [0, 1]
    assert state.state.comparisons["errors"].effect.badness == [0.0, 0.0]


def test_of_many_requests_five_count() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0, canary=True)
    log.write(1.0, *whole(unit), *[ended(unit, turn=turn, at=2.0) for turn in range(1, 5)])
    log.write(2.0, ended(unit, turn=5, at=3.0, outcome="prompt"))
    log.write(100.0)
    assert not any(harm(state, "errors"))


def test_a_session_has_one_event_however_many_it_shows() -> None:
    once, often = evidence(), evidence()
    unit = pin(1, 0.0, canary=True)
    for state, errors in ((once, 1), (often, 4)):
        log = Log(state)
        log.write(1.0, *whole(unit))
        log.write(3.0, *[ended(unit, turn=n, at=2.0, outcome="prompt") for n in range(1, errors + 1)])
        log.write(100.0)
        log.write(1000.0)
    assert harm(once, "errors") == harm(often, "errors") != [0.0] * 8
    assert units(often, "errors") == [0, 1]


def test_a_late_event_enters_when_it_comes() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0, canary=True)
    log.write(1.0, *whole(unit))
    log.write(200.0)
    assert not any(harm(state, "safety"))
    log.write(210.0, ended(unit, turn=2, at=205.0, flags=("refusal",)))
    assert all(total > 0.0 for total in harm(state, "safety"))


def test_at_high_rates_most_events_wait_until_their_session_is_final() -> None:
    """What is in flight where one arm's events come later would look like harm (25 a second, 20 early)."""
    state = evidence()
    log = Log(state)
    for number in range(25):
        log.write(0.5, *whole(pin(number, 0.1 + number / 50.0, canary=True), outcome="prompt"))
    log.write(70.0)
    early = harm(state, "errors")[7]
    log.write(800.0)
    assert early == pytest.approx(harm(state, "errors")[7] * 20 / 25)


def test_a_first_request_still_running_at_its_watermark_is_slower_than_shorter_thresholds() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0, canary=True)
    log.write(0.5, Assigned(unit))
    log.write(70.0)
    assert units(state, "latency_p99") == [0, 1]
    assert units(state, "tokens") == [0, 0]
    log.write(90.0, ended(unit, total=88.0))
    assert units(state, "latency_p99") == [0, 1]
    assert units(state, "first_token_p50") == [0, 1]  # known only now
    assert units(state, "tokens") == [0, 1]
    assert state.state.completed.units == 1


def test_a_session_that_never_reached_the_model_is_no_evidence() -> None:
    """Neither good nor bad: an outage must not pass a gate, nor fill a stage."""
    state = evidence()
    log = Log(state)
    for number in range(400):
        at = 5.0 * number
        unit = pin(number, at, canary=number % 2 == 0)
        log.write(at + 1.0, *whole(unit, outcome="provider"), ended(unit, outcome="provider", turn=1, at=at))
    log.write(4000.0)
    for metric in ("latency_p50", "cost", "errors", "safety"):
        assert units(state, metric) == [0, 0]
        gate = state.state.comparisons[metric].gate
        assert gate is not None
        assert gate.get() == 0.0
    assert (state.state.completed.units, state.state.canaries) == (0, [0, 0, 0])
    assert state.sessions == (200, 200)


def test_a_session_that_reached_the_model_later_has_errors_but_no_times() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0)
    log.write(1.0, *whole(unit, outcome="provider"), ended(unit, turn=1, at=0.5))
    log.write(1000.0)
    assert units(state, "latency_p50") == [0, 0]
    assert units(state, "errors") == [1, 0]
    assert state.state.completed.units == 0


def test_a_client_that_left_and_a_record_that_was_lost() -> None:
    """How long clients wait depends on the arm, so who leaves stays in; a lost record tells nothing."""
    state = evidence()
    log = Log(state)
    log.write(1.0, *whole(pin(1, 0.0), outcome="client"))
    log.write(1.0, Assigned(pin(2, 0.0, canary=True)))
    log.write(1000.0)
    assert units(state, "errors") == [1, 0]
    assert state.sessions == (1, 1)


def test_a_provider_that_fails_one_arm_alone_is_a_wrong_share() -> None:
    state = evidence()
    log = Log(state)
    rng = Random(5)
    for number in range(2000):
        unit = pin(number, float(number), canary=rng.random() < 0.5)
        fails = unit.canary and rng.random() < 0.4
        log.write(number + 1.0, *whole(unit, outcome="provider" if fails else "ok"))
    log.write(3000.0)
    assert state.state.assigned.get() < HOLD_AT <= state.state.completed.get()


def wrong_shares(errors: float, later: float) -> tuple[Evidence, Harm]:
    """Two of three sessions go to the canary, where half should; a share of them has an error, of the
    canary's another one after 1,000 s. Beside the state: harm as it would be if nobody had noticed."""
    state, naive = evidence(), Harm.of(0.0)
    log = Log(state)
    rng = Random(11)
    for number in range(2500):
        unit = pin(number, float(number), canary=rng.random() < 2 / 3)
        fails = rng.random() < (later if unit.canary and number > 1000 else errors)
        if fails:
            naive.update(unit.canary, 1.0, 0.5, 0.0)
        log.write(number + 1.0, *whole(unit, outcome="prompt" if fails else "ok"))
    return state, naive


def test_wrong_shares_are_not_harm() -> None:
    state, naive = wrong_shares(0.05, 0.05)
    assert naive.get() > evidence_for(0.01)
    assert state.state.mismatched_at is not None
    assert not state.state.crossed
    again = Evidence.from_bytes(state.to_bytes())
    Log(again, "later").write(4000.0, *whole(pin(9999, 3999.0, canary=True), outcome="prompt"))
    before = harm(again, "errors")
    Log(again, "later still").write(4100.0)
    assert harm(again, "errors") == before  # an event is nothing until its session is final
    Log(again, "last").write(5000.0)
    assert harm(again, "errors") != before


def test_harm_is_found_although_shares_are_wrong() -> None:
    state, _ = wrong_shares(0.03, 0.1)
    found, noticed = state.state.crossed["errors"], state.state.mismatched_at
    assert noticed is not None
    assert noticed < found


def test_warm_up_leaves_latency_out_and_keeps_cost() -> None:
    state = evidence(rules=Rules())
    state.step(1000.0)
    log = Log(state)
    for number, at in enumerate((10.0, 299.0, 301.0, 1005.0, 1400.0)):
        log.write(at + 5.0, *whole(pin(number, at)))
    log.write(2000.0)
    assert units(state, "latency_p50") == [2, 0]
    assert units(state, "cost") == [5, 0]


def test_a_later_start_opens_with_the_first_pin_of_its_stage() -> None:
    state = evidence()
    log = Log(state)
    state.step(100.0)
    state.step(100.0)  # the same again
    for number, at in enumerate((50.0, 101.0)):
        log.write(at + 5.0, *whole(pin(number, at, canary=True)))
    log.write(159.0)
    assert state.state.starts == 0
    log.write(163.0)
    assert state.state.starts == 1
    assert state.state.canaries == [1, 1, 0]
    marks = state.state.comparisons["latency_p50"].harm.wealth.marks
    assert len(marks) == 1
    assert marks[0] != harm(state, "latency_p50")


def test_steps_go_forward_and_are_as_many_as_planned() -> None:
    state = evidence()
    state.step(100.0)
    with pytest.raises(InvalidValue, match="not after"):
        state.step(50.0)
    state.step(200.0)
    with pytest.raises(InvalidValue, match="planned"):
        state.step(300.0)


def test_a_session_is_one_unit_also_after_its_pin_expired() -> None:
    state = evidence()
    log = Log(state)
    log.write(1.0, *whole(pin(1, 0.0)))
    log.write(5000.0, *whole(pin(1, 4999.0)))
    log.write(9000.0)
    assert state.sessions == (1, 0)
    assert units(state, "cost") == [1, 0]


def test_memory_is_bounded_whatever_the_number_of_sessions() -> None:
    state = evidence(rules=msgspec.structs.replace(COLD, max_open=1500))
    log = Log(state)
    most = size = 0
    for second in range(3000):
        log.write(
            second + 0.9, *chain(*[whole(pin(second * 2 + n, second + 0.1, canary=n == 1)) for n in (0, 1)])
        )
        most = max(most, state.open_sessions)
        size = max(size, len(state.to_bytes())) if second % 500 == 499 else size
    assert most <= 2 * 722
    assert size < 200_000
    assert state.state.left_out == 0
    for number in range(3000):
        log.write(3001.0, Assigned(pin(10_000 + number, 3000.5)))
    assert state.open_sessions == 1500
    assert state.state.left_out > 1000


@pytest.mark.parametrize(
    "unit",
    [
        Drawn(b"x" * 16, True, 0.0, 1.0, 1.0, 5.0),  # a canary at weight 0
        Drawn(b"x" * 16, False, 0.5, 0.0, 0.0, 5.0),
        Drawn(b"x" * 16, False, 0.5, 1.0, 1.0, 1e9),
        Drawn(b"x" * 16, False, float("nan"), 1.0, 1.0, 5.0),
    ],
)
def test_what_cannot_have_been_drawn_is_left_out(unit: Drawn) -> None:
    state = evidence()
    log = Log(state)
    log.write(6.0, *whole(unit))
    assert state.open_sessions == 0
    assert state.state.left_out >= 1


def test_numbers_that_are_none_are_not_used() -> None:
    state = evidence()
    log = Log(state)
    unit = pin(1, 0.0, judged=True)
    bad = Observed(unit, True, False, 0.0, "ok", float("nan"), -1.0, None, float("inf"))
    log.write(1.0, Assigned(unit), bad, score(unit, 7.0))
    log.write(1000.0)
    assert units(state, "latency_p50") == units(state, "cost") == units(state, "judge") == [0, 0]
    assert state.state.completeness.sampled == [1, 0]


def test_another_methods_state_is_refused() -> None:
    state = evidence()
    state.state.method = 99
    with pytest.raises(InvalidValue, match="method 99"):
        Evidence.from_bytes(state.to_bytes())


def test_a_margin_on_events_is_refused() -> None:
    policy = msgspec.structs.replace(STANDARD, harm_margin={**STANDARD.harm_margin, "errors": 0.5})
    with pytest.raises(InvalidValue, match="margin of errors"):
        Evidence.start(policy, 0.0)
