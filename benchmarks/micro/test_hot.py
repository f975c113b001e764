"""One case for each function of the hot path and of the decisions, on what it usually gets."""

from __future__ import annotations

import itertools
from random import Random

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.decisions.fold import batches
from benchmarks.overhead import requests
from benchmarks.overhead.provider import DELTA
from gateway.analysis.decide import decide
from gateway.analysis.evidence import Evidence
from gateway.analysis.rules import Rules
from gateway.analysis.verdict import Position
from gateway.domain import pins
from gateway.domain.observation import decode_batch
from gateway.domain.pins import Ask, Assignment, PinRules, View
from gateway.domain.policy import POLICIES
from gateway.domain.rollout import Rollout, Weight
from gateway.evals.detect import Probes
from gateway.evals.flags import MOST, flags_of
from gateway.promptfiles import prompty
from gateway.promptfiles.compiled import compile_prompt
from gateway.simulation.scenario import AA
from gateway.simulation.sessions import known_thresholds
from gateway.telemetry.counts import Counts
from gateway.wire import chat
from gateway.wire.selection import select
from gateway.wire.splice import split

BODY = requests.body(stream=True)
STANDARD = POLICIES["standard"]
PROMPT = """\
---
name: bench
model: {id: gpt-4o-mini, options: {temperature: 0.1}}
inputs:
  - {name: tone, kind: string, default: warm}
  - {name: topics, kind: array, default: []}
---
system:
You are a support agent. Be {{ tone }}.{% for topic in topics %} You know of {{ topic }}.{% endfor %}
"""
ROLLOUT = Rollout("0" * 12, "bench", 2, 1, "salt", "progressing", (Weight(0.1, 0.0),), 0.0, "me")


def test_yardstick(benchmark: BenchmarkFixture) -> None:
    """Attribute access, calls, dictionaries: what interpreters spend their time on."""

    def work() -> int:
        found: dict[str, int] = {}
        for word in WORDS:
            found[word] = found.get(word, 0) + len(word)
        return sum(found.values())

    assert benchmark(work) == sum(map(len, WORDS))


WORDS = [f"word-{number % 37}" for number in range(500)]


def test_splice(benchmark: BenchmarkFixture) -> None:
    content = prompty.parse(PROMPT, source="bench").content
    recipe, own = chat.recipe(content, "bench"), chat.encode_messages((("system", "You are one."),))

    def work() -> int:
        fields = split(BODY)
        injected = chat.inject(fields, chat.inspect(fields), recipe, own, ask_usage=True)
        return len(injected.pieces)

    assert benchmark(work) > 3


def test_select(benchmark: BenchmarkFixture) -> None:
    fields, headers = split(BODY), {b"x-prompt": b"bench@staging", b"content-type": b"application/json"}
    found = benchmark(lambda: select(None, headers, fields, {}, "other"))
    assert (found.prompt, found.label) == ("bench", "staging")


def test_assign(benchmark: BenchmarkFixture) -> None:
    """A new session: looked up, not found, drawn."""
    rules, rng = PinRules(), Random(1)
    sessions = itertools.cycle([rng.randbytes(16) for _ in range(1000)])

    def work() -> str:
        view, ask = View(1, ROLLOUT, 100.0, 0.1), Ask(next(sessions), False)
        drawn = pins.decide(view, ask, None, rules)
        if drawn is pins.LOOK_UP:
            drawn = pins.resolve(view, ask, ROLLOUT.id, None, rules)
        assert isinstance(drawn, Assignment)
        return drawn.reason

    assert benchmark(work) == "weight"


def test_scan(benchmark: BenchmarkFixture) -> None:
    """One event, as it comes in a read of its own."""
    event = DELTA.split(b"\r\n")[1] + b"\n\n"
    scanner = chat.scanner(strip_usage=True)
    scanner.feed(event)
    assert benchmark(lambda: scanner.feed(event)) == event


def test_observe(benchmark: BenchmarkFixture) -> None:
    """A whole answer's figures in the worker's counts: outcome, times, tokens, cost."""
    counts, tokens = Counts(512), (80, 0, 0, 0, 90, 0, 0)

    def work() -> None:
        version = counts.version("bench", 1)
        version.ended("canary", "ok")
        version.used(tokens, 0.0001, estimated=False)
        model = version.of("openai", "gpt-4o-mini")
        model.took(0.8, 0.2, ())
        model.used(80, 90)
        counts.overhead.record(0.0001)

    benchmark(work)
    assert counts.version("bench", 1).outcomes["canary", "ok"] > 0


def test_flags(benchmark: BenchmarkFixture) -> None:
    """The longest answer that is looked at, 32 KiB of prose, and what every check wants to see at its end."""
    end = "Write to ann@example.org."
    text = ("We sent it to you; it comes on Friday. " * MOST)[: MOST - len(end)] + end
    probes = Probes(PROMPT)
    assert benchmark(lambda: flags_of(text, "user: hello", probes=probes)) == ("personal",)


def test_fold(benchmark: BenchmarkFixture) -> None:
    """A batch of 50 sessions, from bytes to state."""
    log = itertools.cycle(batches(10_000, 1))
    state = Evidence.start(STANDARD, 0.0, known_thresholds(AA, STANDARD), Rules(latency_warmup=0.0))
    benchmark(lambda: state.fold(decode_batch(next(log))))


def test_decide(benchmark: BenchmarkFixture) -> None:
    """With 10,000 sessions folded."""
    state = Evidence.start(STANDARD, 0.0, known_thresholds(AA, STANDARD), Rules(latency_warmup=0.0))
    for value in batches(10_000, 1):
        state.fold(decode_batch(value))
    position = Position("progressing", 0, 0.0, 0.0, 0.1)
    verdict = benchmark(lambda: decide(STANDARD, position, state, 100.0))
    assert verdict.reason


def test_render(benchmark: BenchmarkFixture) -> None:
    compiled = compile_prompt(prompty.parse(PROMPT, source="bench").content)
    given = {"tone": "short", "topics": ["shoes", "refunds", "parcels"]}
    messages = benchmark(lambda: compiled.render(given, float))  # a clock that stands
    assert messages[0].text.endswith("You know of parcels.")
