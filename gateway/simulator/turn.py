"""One turn of a conversation, whatever API it is asked through: what is said, when, and what goes wrong."""

from math import exp
from typing import Protocol

from gateway.errors import InvalidValue
from gateway.simulator.answer import Answer, Conversation, compose
from gateway.simulator.draws import SPAN, Draws, chance, draw, normal
from gateway.simulator.reply import EVENTS, Reply, Request, error_reply
from gateway.simulator.scenario import Behaviour, Cast

CREATED = 1_767_225_600  # a fixed time, so that the same request gives the same bytes


class Shape(Protocol):
    """An answer as the bytes of one API."""

    def usage(self, request_bytes: int, completion: int) -> bytes:
        """The usage object; `completion` in tokens."""

    def whole(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> bytes: ...

    def events(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> tuple[bytes, ...]:
        """One write for each token: the first and the last bring what stands around them."""


def answered(cast: Cast, request: Request, talk: Conversation, said: bytes, shape: Shape) -> Reply:
    """Answer one turn. `said` are the bytes that decide what is answered."""
    scenario, body = cast.scenario, talk.body
    rule, behaviour = cast.behaviour(talk.system, body.model)
    if talk.judged:
        rule, behaviour = "judge", scenario.judge.behaviour
    draws = draw(scenario.seed, _identity(request, said))
    if chance(behaviour.error_rate, draws.error):
        return error_reply(behaviour.error_status, "The simulated provider failed by chance.")
    try:
        asked = number(request, b"x-sim-tokens")
        first, gap = _times(request, behaviour, draws)
        answer = compose(talk, behaviour, scenario.judge, draws, None if asked is None else int(asked))
    except InvalidValue as error:
        return error_reply(400, error.message, param=error.param)
    fault = _fault(behaviour, draws)
    if talk.judged and chance(scenario.judge.timeout_rate, draws.fault):
        fault = "stall_before_head"
    usage = shape.usage(len(said), len(answer.pieces))
    if not body.stream:
        whole = shape.whole(talk, answer, draws, usage)
        return Reply((whole,), first=first + gap * len(answer.pieces), fault=fault, rule=rule)
    events = shape.events(talk, answer, draws, usage)
    return Reply(events, content_type=EVENTS, streamed=True, first=first, gap=gap, fault=fault, rule=rule)


def _identity(request: Request, messages: bytes) -> bytes:
    """What "the same request" means: the messages, whether streamed or not; a client's retry is another."""
    seed, retry = request.sim.get(b"x-sim-seed"), request.sim.get(b"x-stainless-retry-count")
    if seed or (retry and retry != b"0"):
        return b"\0".join((messages, seed or b"", retry or b""))
    return messages


def number(request: Request, name: bytes) -> float | None:
    """Return the number in an x-sim-* header. Raises `InvalidValue`."""
    value = request.sim.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 7:
        raise InvalidValue(f"{name.decode()} is {value!r}: use a whole number", param=name.decode())
    return int(value)


def _times(request: Request, behaviour: Behaviour, draws: Draws) -> tuple[float, float]:
    pace = exp(behaviour.jitter * normal(draws.speed)) / 1000
    first, gap = behaviour.first_token_ms * pace, behaviour.gap_ms * pace
    if request.sim:
        fixed, fixed_gap = number(request, b"x-sim-first-token-ms"), number(request, b"x-sim-gap-ms")
        first = first if fixed is None else fixed / 1000
        gap = gap if fixed_gap is None else fixed_gap / 1000
    return first, gap


def _fault(behaviour: Behaviour, draws: Draws) -> str:
    left = draws.fault / SPAN
    for name, rate in behaviour.faults.items():
        if left < rate:
            return name
        left -= rate
    return ""
