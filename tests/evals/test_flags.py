"""Detectors on labelled answers, what they cost, and what they must not be fooled by."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.prompt import Content, Message, Part
from gateway.errors import ConfigError, InvalidValue
from gateway.evals import detect
from gateway.evals.detect import Probes, probes_of
from gateway.evals.flags import FLAGS, MOST, flags_of, own_rule
from gateway.proxy.judging import rules_of
from gateway.settings import EvidenceSettings, SafetyRule, SafetySettings, Settings
from tests.evals.corpus import CORPUS, REFUSALS
from tests.evals.corpus_forms import INSTRUCTIONS, LEAKS, LOOPS, SHAPES

PASSES = 8  # 3 to 5 as measured


@pytest.mark.parametrize("flag", ["refusal", "personal", "secret", "profanity"])
def test_precision_and_recall(flag: str) -> None:
    assert len(CORPUS) >= 200
    found = [(label == flag, flag in flags_of(text, "")) for label, text in CORPUS]
    hits = sum(is_one and seen for is_one, seen in found)
    precision = hits / sum(seen for _, seen in found)
    recall = hits / sum(is_one for is_one, _ in found)
    print(f"{flag}: precision {precision:.3f}, recall {recall:.3f} of {len(CORPUS)} lines")
    missed = [text for (label, text), (is_one, seen) in zip(CORPUS, found, strict=True) if is_one != seen]
    assert precision >= 0.97, missed
    assert recall >= 0.97, missed


INSTRUCTED = Probes(INSTRUCTIONS)
BY_FORM: dict[str, tuple[list[tuple[bool, str]], Callable[[str], bool]]] = {
    "leak": (LEAKS, INSTRUCTED.leak),
    "loop": (LOOPS, detect.loops),
    "schema": (SHAPES, lambda text: flags_of(text, "", finish_reason="stop", wants_json=True) == ("schema",)),
}


@pytest.mark.parametrize("flag", BY_FORM)
def test_precision_and_recall_of_what_is_seen_by_its_form(flag: str) -> None:
    lines, sees = BY_FORM[flag]
    wrong = [(label, text) for label, text in lines if sees(text) != label]
    labels = [label for label, _ in wrong]
    print(f"{flag}: {labels.count(True)} missed, {labels.count(False)} false, of {len(lines)} answers")
    assert wrong == []


def test_the_settings_know_every_flag() -> None:
    assert EvidenceSettings().flags == FLAGS
    assert EvidenceSettings(flags=("secret",)).changes() == {}


def test_what_the_user_sent_is_not_personal_in_the_answer() -> None:
    sent = "My card is 4111-1111-1111-1111, mail Ann@Example.org"
    assert list(detect.personal("Thanks: 4111 1111 1111 1111, ann@example.org.", sent)) == []
    assert list(detect.personal("It is 5500 0055 5555 5559.", sent)) == ["card"]


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal", "guardrail_intervened"])
def test_the_provider_s_words_for_a_filter(reason: str) -> None:
    assert flags_of("Hello.", "", finish_reason=reason) == ("filtered",)
    assert flags_of("Hello.", "", finish_reason="stop") == ()


def test_json_where_it_is_asked_for() -> None:
    assert flags_of('{"a": 1}', "", finish_reason="stop", wants_json=True) == ()
    assert flags_of("a: 1", "", finish_reason="stop", wants_json=True) == ("schema",)
    assert flags_of('{"a": ', "", finish_reason="length", wants_json=True) == ()  # cut short is no violation


def test_how_long_and_how_often_a_passage_comes_that_is_a_loop() -> None:
    def passage(length: int) -> str:
        return "".join(random.Random(length).choices("abcdefghij klmnopqrst", k=length))

    for length, times, looped in ((120, 4, True), (2000, 4, True), (120, 3, False), (119, 4, False)):
        assert detect.loops("So: " + passage(length) * times) is looped
    assert not detect.loops(passage(2001) * 4)
    end = "these are its very last words. "
    assert detect.loops((passage(300) + end + passage(200) + end) * 4)


def test_loops_and_profanity() -> None:
    assert flags_of("We will see. " + "again and again and ... " * 20, "") == ("loop",)
    assert flags_of("What the fuck.", "") == ("profanity",)
    assert flags_of("The cockpit of the Titanic in Scunthorpe. |---|---|", "") == ()


# --- leaks

RULES = (
    "You answer customers of a shop. Never offer more than {{ most }} per cent off unless the customer "
    "threatens to leave for good. Say that the warehouse is closed at weekends even if somebody is there to "
    "pack the parcel."
)


def test_a_leak_is_seen_whatever_its_case_and_white_space() -> None:
    probes = probes_of(Content((Message("system", (Part("system", RULES),)),)))
    assert probes.count == 4
    said = RULES.partition("}}")[2]
    assert probes.leak("Well: " + said)
    assert probes.leak(said.upper().replace(" ", "\n  "))
    assert not probes.leak("The warehouse is closed at weekends, even if you ask.")
    assert flags_of(said, "", probes=probes) == ("leak",)


def test_only_instructions_are_guarded() -> None:
    example = Message("assistant", (Part("few_shot", "word " * 100),))
    assert probes_of(Content((example,))).count == 0
    assert not Probes("too short").leak("too short")
    assert Probes("one (two) three* four five six seven eight").leak(
        "one (two) three* four five six seven eight"
    )


# --- cost


def texts() -> dict[str, str]:
    chosen = random.Random(1)
    words = " ".join(text for _, text in CORPUS if _ == "").split()
    return {
        "prose": " ".join(chosen.choice(words) for _ in range(9000))[:MOST],
        "digits": ("1234-5678-9012-3456 " * 2000)[:MOST],
        "addresses": ("ann@example.org " * 3000)[:MOST],
        "ibans": ("DE89370400440532013000 " * 2000)[:MOST],
        "refusals": (REFUSALS * 40)[:MOST],
    }


@pytest.mark.parametrize("kind", texts())
def test_32_kib_cost_a_few_passes_of_a_regular_expression(kind: str) -> None:
    """As a ratio, for the machine may be busy; `benchmarks.micro` has the microseconds."""
    text, probes = (
        texts()[kind],
        Probes(" ".join(f"rule number {number} of the house" for number in range(100))),
    )
    raw, once = text.encode(), re2.compile(b"[^\0]*\0")
    looked, passed = [], []
    for _ in range(200):
        looked.append(_timed(lambda: flags_of(text, "user: hello", probes=probes, finish_reason="stop")))
        passed.append(_timed(lambda: once.search(raw)))
    assert min(looked) < PASSES * min(passed)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# --- own rules


def test_own_rules_are_flags_with_their_names() -> None:
    rules = (
        own_rule("codename", "(?i)project falcon", severe=True),
        own_rule("greeting", r"^Héllo\b", severe=False),
    )
    assert flags_of("Héllo. Ask for Project FALCON.", "", rules=rules) == ("severe:codename", "rule:greeting")
    assert flags_of("Hello. Ask for a falcon.", "", rules=rules) == ()
    assert flags_of("x" * MOST + "project falcon", "", rules=rules) == ("loop",)
    with pytest.raises(InvalidValue, match=r"rule look: .* is no RE2 expression"):
        own_rule("look", "(?=a)", severe=False)


def test_own_rules_are_read_from_the_configuration() -> None:
    settings = SafetySettings(rules=(SafetyRule(name="codename", pattern="falcon", severe=True),))
    assert settings.moderation is None
    broken = {"upstream": {"base_url": "http://x"}, "safety": {"rules": [{"name": "bad", "pattern": "("}]}}
    with pytest.raises(ConfigError, match=r"safety\.rules: rule bad: "):
        rules_of(Settings.model_validate(broken))


FRAGMENTS = st.sampled_from(
    [
        "I ",
        "can\u2019t",
        "cannot",
        " help",
        "I'm sorry, but I ",
        "@",
        "ann@example.org",
        "4111 1111 1111 1111",
    ]
    + ["+49 30 901820", "DE89 3704 0044 0532 0130 00", "AKIAIOSFODNN7EXAMPLE", "password: hunter2222", "shit"]
    + [" ", "words of an answer. ", "2026", "\u00e9\n"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAGMENTS | st.text(max_size=12), max_size=8).map("".join))
def test_what_is_not_notable_has_no_flag_of_these(text: str) -> None:
    if detect.notable(text.encode("utf-8", "replace")):
        return
    assert not detect.refusal(text)
    assert not any(detect.personal(text))
    assert not detect.secret(text)
    assert not detect.profanity(text)


def test_the_question_is_asked_for_where_it_matters() -> None:
    asked = []

    def question() -> str:
        asked.append(1)
        return "I am ann@example.org"

    assert flags_of("Hello there.", question) == ()
    assert not asked
    assert flags_of("You are ann@example.org.", question) == ()
    assert asked
    assert flags_of("You are bob@example.org.", question) == ("personal",)
