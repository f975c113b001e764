"""What this gateway aims at, beside what was measured. All but memory and gaps are ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]  # section → its data
NGINX, PASS, ALL, ROLLOUT, MANAGED, BY_HAND = (
    "nginx",
    "gateway, pass",
    "gateway, all",
    "gateway, rollout",
    "gateway, managed",
    "gateway, by hand",
)


@dataclass(frozen=True, slots=True)
class Target:
    """`value` reads the figure from the results, KeyError where it was not measured; `limit` is the most (or
    with `least` the least) it should be; `reason`: why it is not reached, where it is not."""

    figure: str
    limit: float
    value: Callable[[Results], float]
    unit: str = "×"
    least: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    figure: str
    target: str
    measured: str
    reached: bool | None  # None: not measured
    reason: str


def row(results: Results, section: str, peer: str, **wanted: object) -> Mapping[str, Any]:
    for each in results[section]["rows"]:
        if each.get("peer", peer) == peer and all(each.get(key) == value for key, value in wanted.items()):
            found: Mapping[str, Any] = each
            return found
    raise KeyError(f"{section}: {peer} {wanted}")


def cost(peer: str, key: str = "request_ratio", scheme: str = "http") -> Callable[[Results], float]:
    return lambda results: row(results, "cost", peer, upstream=scheme)[key]


def against(peer: str, other: str, key: str = "request_us") -> Callable[[Results], float]:
    """Ours divided by the other's."""
    return lambda results: (
        row(results, "cost", peer, upstream="http")[key] / row(results, "cost", other, upstream="http")[key]
    )


def added(section: str, key: str, peer: str = ALL) -> Callable[[Results], float]:
    """What we add, divided by what nginx adds (at least 1 µs: less cannot be told from none)."""
    return lambda results: row(results, section, peer)[key] / max(row(results, section, NGINX)[key], 1.0)


def memory(key: str, peer: str, scheme: str = "http") -> Callable[[Results], float]:
    return lambda results: row(results, "memory", peer, upstream=scheme)[key]


def least_of(section: str, key: str) -> Callable[[Results], float]:
    return lambda results: min(each[key] for each in results[section]["rows"])


def gap(scheme: str) -> Callable[[Results], float]:
    return lambda results: max(
        row(results, "body", MANAGED, upstream=scheme, turns=turns)["added_ms"]
        for turns in {each["turns"] for each in results["body"]["rows"]}
    )


def growth(what: str) -> Callable[[Results], float]:
    return lambda results: row(results, "growth", "", what=what)["ratio"]


STEPS = (
    "a request is parsed, assigned, signed, counted, priced and recorded in Python, compiled; nginx "
    "copies bytes in C"
)
PARSED = "heads are parsed and checked and bytes are handed on in Python, compiled; nginx does it in C"
PINNING = "a new session, every fourth request here, costs a write to the store and sometimes a look-up"
SMALL = "it follows the processor time per request"
WAITING = (
    "a request waits for those that came at the same moment, and each of them takes more time than nginx "
    "does; pass-through waits as well (table below)"
)
FIRST = (
    "16 streams begin at once and are served one after the other; nginx adds next to nothing (table below)"
)
RATE = "it takes ten and a hundred times less, but not as much less as was aimed at: all features are on"
HANDSHAKES = "OpenSSL's buffers for each connection; nginx needs as much (table below)"

TARGETS = (
    Target("processor per request against nginx, pass-through", 2.0, cost(PASS), reason=PARSED),
    Target("the same, a rollout by hand", 3.0, cost(BY_HAND), reason=STEPS),
    Target("the same, all features on", 2.0, cost(ALL), reason=f"{STEPS}; {PINNING}"),
    Target("processor per SSE event against nginx", 1.5, cost(ALL, "event_ratio"), reason=STEPS),
    Target("per request against Portkey", 1 / 20, against(ALL, "Portkey"), reason=RATE),
    Target("per request against LiteLLM", 1 / 200, against(ALL, "LiteLLM"), reason=RATE),
    Target("per request against the naive aiohttp proxy", 1 / 3, against(ALL, "naive aiohttp"), reason=STEPS),
    Target("added latency p50 against nginx's", 2.0, added("latency", "added_p50_us"), reason=SMALL),
    Target("added latency p99 against nginx's", 2.0, added("latency", "added_p99_us"), reason=WAITING),
    Target(
        "added time to first token against nginx's", 2.0, added("streaming", "added ttft p50"), reason=FIRST
    ),
    Target(
        "two workers against one, requests per processor second",
        0.9,
        least_of("workers", "per_core_second_ratio"),
        least=True,
        reason="the second worker shares its processor with client and provider, and so its caches",
    ),
    Target(
        "memory of a worker at rest",
        80.0,
        memory("rest_mb", PASS),
        unit="MB",
        reason="the interpreter and its libraries; nothing of it grows",
    ),
    Target("memory per open stream, plain", 24.0, memory("kb_per_stream", ROLLOUT), unit="KiB"),
    Target(
        "memory per open stream, TLS to the upstream",
        150.0,
        memory("kb_per_stream", ROLLOUT, "https"),
        unit="KiB",
        reason=HANDSHAKES,
    ),
    Target("TLS upstream: per request, pass-through", 2.0, cost(PASS, scheme="https"), reason=PARSED),
    Target("TLS upstream: a rollout by hand", 3.0, cost(BY_HAND, scheme="https"), reason=STEPS),
    Target("TLS upstream: all features on", 2.0, cost(ALL, scheme="https"), reason=f"{STEPS}; {PINNING}"),
    Target(
        "gap that one 32 MiB body adds to other streams",
        50.0,
        gap("http"),
        unit="ms",
        reason="the body is read as JSON in steps of up to 20 ms; what client and provider take comes on top",
    ),
    Target(
        "two workers against one, requests/s, 8 to 128 connections",
        1.6,
        least_of("workers", "requests_per_s_ratio"),
        least=True,
        reason="client and provider need the same two processors; with processors of their own it would be "
        "the capacity of the table below",
    ),
    Target(
        "rollout active against pass-through",
        1.5,
        against(ROLLOUT, PASS),
        reason="a pass-through request is not injected, assigned, signed, priced or recorded",
    ),
    Target("10 → 10,000 prompts, per request", 1.2, growth("prompts")),
    Target(
        "1 → 1,000,000 pins, per request",
        1.2,
        growth("pins"),
        reason="new pins fall anywhere in a tree of 100 MB: more pages are written for as many pins",
    ),
    Target(
        "1 → 1,000 rollouts, per request",
        1.2,
        growth("rollouts"),
        reason="each rollout has a log of its own, so a batch of evidence each; one has a single one for all",
    ),
    Target(
        "a change with 10,000 prompts, on the loop",
        5.0,
        lambda results: results["growth"]["change"]["change_ms"],
        unit="ms",
    ),
)


def judge(results: Results) -> list[Judged]:
    return [_judged(target, results) for target in TARGETS]


def _judged(target: Target, results: Results) -> Judged:
    wanted = f"{'≥' if target.least else '≤'} {_number(target.limit)} {target.unit}"
    try:
        value = target.value(results)
    except (KeyError, ZeroDivisionError, ValueError, TypeError):
        return Judged(target.figure, wanted, "not measured", None, "")
    reached = value >= target.limit if target.least else value <= target.limit
    return Judged(
        target.figure, wanted, f"{_number(value)} {target.unit}", reached, "" if reached else target.reason
    )


def _number(value: float) -> str:
    """Three digits that count; small ratios as fractions.

    >>> _number(1 / 200), _number(1.734), _number(82.31)
    ('1/200', '1.73', '82.3')
    """
    if 0 < value <= 0.4:
        return f"1/{round(1 / value)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def markdown(judged: list[Judged]) -> str:
    says = {True: "yes", False: "**no**", None: "–"}
    lines = ["| figure | target | measured | reached | if not, why |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.figure} | {each.target} | {each.measured} | {says[each.reached]} | {each.reason} |"
        for each in judged
    ]
    return "\n".join(lines)
