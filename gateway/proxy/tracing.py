"""One span for each managed request that is sampled, built after its last byte from times that are known
anyway. A request that is not sampled costs the look at its `traceparent`; one that is names our span to the
provider as the parent of its own.

Names: OpenTelemetry GenAI conventions v1.41 and `promptcanary.*`. A message's text is in a span only where
the configuration asks for it (`contents`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.domain.observation import Outcome
from gateway.errors import GatewayError
from gateway.proxy.base import Head
from gateway.proxy.contents import Contents
from gateway.settings import Settings
from gateway.telemetry.spans import Attributes, Event, Span, SpanQueue
from gateway.wire.options import Option
from gateway.wire.price import Price
from gateway.wire.served import MOST_EVENTS, MOST_OPENING, Served, served
from gateway.wire.splice import Fields
from gateway.wire.traceparent import parse, put
from gateway.wire.usage import Answer, Usage

if TYPE_CHECKING:
    from gateway.proxy.managed import Managed

OPERATION = "chat"  # of all three APIs
PARAMETERS = {  # a request's field → gen_ai.request.*
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "choice.count",
    "reasoning_effort": "reasoning.level",
}
FORMS = {"response_format": "", "text": "format", "output_config": "format"}  # field → member; of each API
OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}
LONGEST_WORD = 32  # characters of a parameter that is a word
REASONS = {  # values of feature_flag.result.reason
    "weight": "split",
    "pin": "cached",
    "running": "targeting_match",
    "version": "targeting_match",
    "override": "targeting_match",
    "live": "static",
    "request": "split",
    "stale": "stale",
    "unpinned": "split",
}


class Trace:
    """Of one sampled request. `parameters`: what the provider is asked for; `served`: what its event stream
    says of itself. `wants_text`: it shall hold the answer's words."""

    __slots__ = (
        "_opening",
        "_tries",
        "parameters",
        "parent",
        "served",
        "span",
        "state",
        "trace",
        "wants_text",
    )

    def __init__(self, trace: bytes, span: bytes, parent: bytes, state: str) -> None:
        self.trace = trace
        self.span = span
        self.parent = parent
        self.state = state
        self.parameters: Attributes = {}
        self.wants_text = False
        self.served: Served | None = None
        self._opening = b""
        self._tries = MOST_EVENTS

    def hear(self, data: bytes) -> None:
        """A piece of the event stream; its beginning is kept until that has said which answer it is."""
        if not self._tries:
            return
        self._opening += data[: MOST_OPENING - len(self._opening)]
        if b"\n\n" in data or b"\r\n\r\n" in data:
            self._tries -= 1
            self.served = served(self._opening)
        if self.served not in (None, Served()) or len(self._opening) >= MOST_OPENING or not self._tries:
            self._tries, self._opening = 0, b""

    @property
    def link(self) -> bytes:
        return self.trace + self.span


class Ending(NamedTuple):
    """How a request ended. `status`: of the provider's answer; `total`, `first_token`: s."""

    outcome: Outcome
    status: int | None
    error: GatewayError | None
    code: str | int | None
    answer: Answer
    usage: Usage | None
    cost: Price | None
    total: float
    first_token: float | None
    flags: tuple[str, ...] = ()
    text: str | None = None  # where the trace wants it


class Tracing:
    """`random` gives [0, 1) for the sample."""

    def __init__(self, settings: Settings, random: Random) -> None:
        traces = settings.traces
        self.queue = SpanQueue(traces.queue)
        self._sample = traces.sample
        self._errors = traces.errors
        self._flags = traces.flags
        self._cache_write = "cache_write" if traces.conventions == "latest" else "cache_creation"
        self._random = random
        self._contents = Contents(traces)

    def begin(self, exchange: Managed) -> None:
        """Decide whether the request has a span, before it goes upstream."""
        context = parse(exchange.headers.get(b"traceparent"))
        if not (self._random.random() < self._sample if context is None else context.sampled):
            return
        trace = exchange.trace = self._trace(exchange.headers)
        if exchange.fields is not None and exchange.prepared is not None:
            trace.parameters = parameters(exchange, exchange.fields)
            if self._contents.wanted:
                trace.wants_text = True
                trace.parameters |= self._contents.asked(exchange, exchange.fields)
        head = exchange.head
        headers = put(head.headers, trace.trace, trace.span, begun=context is None)
        exchange.head = Head(
            head.method, head.path, head.query, head.version, headers, head.length, head.received
        )

    def _trace(self, headers: Mapping[bytes, bytes]) -> Trace:
        context = parse(headers.get(b"traceparent"))
        own = self._random.randbytes(8)
        if context is None:
            return Trace(self._random.randbytes(16), own, b"", "")
        state = headers.get(b"tracestate", b"").decode("latin-1")
        return Trace(context.trace, own, context.span, state)

    def ended(self, exchange: Managed, ending: Ending) -> None:
        trace = exchange.trace
        failed = ending.outcome in ("prompt", "provider")
        if trace is None:
            if not ((failed and self._errors) or (ending.flags and self._flags)):
                return
            trace = exchange.trace = self._trace(exchange.headers)
        choice = exchange.choice
        assert choice is not None
        end = time.time_ns()
        start = end - int(ending.total * 1e9)
        found = self._asked(exchange) | trace.parameters | self._answered(ending) | own(exchange, ending)
        found |= told_by(exchange, trace, ending.answer)
        if ending.text is not None:
            found |= self._contents.answered(ending.text, ending.answer.finish_reason)
        self.queue.put(
            Span(
                trace.trace,
                trace.span,
                trace.parent,
                trace.state,
                f"{OPERATION} {exchange.model}" if exchange.prepared is not None else OPERATION,
                start,
                end,
                found,
                (assignment(exchange, start),) if choice.rollout else (),
                said(ending) if failed else None,
            )
        )

    def _asked(self, exchange: Managed) -> Attributes:
        selection, choice = exchange.selection, exchange.choice
        assert selection is not None and choice is not None
        found: Attributes = {
            "gen_ai.operation.name": OPERATION,
            "gen_ai.prompt.name": selection.prompt,
            "gen_ai.prompt.version": str(choice.version),
        }
        member = exchange.worker.upstream.member_of(exchange.call)
        if member is not None:
            place = exchange.worker.places[member.name]
            found["gen_ai.provider.name"] = place.provider
            found["server.address"] = place.host
            found["server.port"] = place.port
        if exchange.prepared is not None:
            found["gen_ai.request.model"] = exchange.model
        if exchange.request is not None and exchange.request.stream:
            found["gen_ai.request.stream"] = True
        for name in exchange.worker.session_headers:
            if name in exchange.headers:
                found["gen_ai.conversation.id"] = exchange.headers[name].decode("utf-8", "replace")
                break
        return found

    def _answered(self, ending: Ending) -> Attributes:
        found: Attributes = {}
        answer, usage = ending.answer, ending.usage
        if answer.finish_reason is not None:
            found["gen_ai.response.finish_reasons"] = [answer.finish_reason]
        if ending.first_token is not None:
            found["gen_ai.response.time_to_first_chunk"] = ending.first_token
        if usage is not None:
            found["gen_ai.usage.input_tokens"] = usage.prompt
            found["gen_ai.usage.output_tokens"] = usage.completion
            if usage.cached:
                found["gen_ai.usage.cache_read.input_tokens"] = usage.cached
            if usage.cache_write:
                found[f"gen_ai.usage.{self._cache_write}.input_tokens"] = usage.cache_write
            if usage.reasoning:
                found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
        if ending.status is not None:
            found["http.response.status_code"] = ending.status
        if ending.outcome in ("prompt", "provider"):
            found["error.type"] = error_type(ending)
        return found


def told_by(exchange: Managed, trace: Trace, answer: Answer) -> Attributes:
    """What the answer says of itself; no model of a stream that was not sampled from its beginning on."""
    found, notes = trace.served, exchange.notes
    if found is None:
        found = served(b"" if notes is None else notes.whole())
    named = {"gen_ai.response.id": found.id or answer.id, "gen_ai.response.model": found.model}
    return {name: value for name, value in named.items() if value is not None}


def own(exchange: Managed, ending: Ending) -> Attributes:
    """What no convention names."""
    choice, prepared = exchange.choice, exchange.prepared
    assert choice is not None and exchange.selection is not None
    found: Attributes = {
        "promptcanary.arm": choice.arm,
        "promptcanary.reason": choice.reason,
        "promptcanary.outcome": ending.outcome,
        "promptcanary.overhead_seconds": exchange.overhead() if exchange.answered_at else 0.0,
    }
    if exchange.request_id:
        found["promptcanary.request.id"] = exchange.request_id.decode()
    if prepared is not None:
        found["promptcanary.prompt.digest"] = prepared.version.digest
    if choice.rollout:
        found["promptcanary.rollout.id"] = choice.rollout
        deployment = exchange.worker.snapshots.deployments.get(exchange.selection.prompt)
        rollout = None if deployment is None else deployment.rollout
        if rollout is not None and rollout.id == choice.rollout:
            found["promptcanary.stage"] = rollout.stage
    if ending.flags:
        found["promptcanary.safety.flags"] = list(ending.flags)
    if ending.cost is not None:
        found["promptcanary.cost_usd"] = ending.cost.paid
    return found


def assignment(exchange: Managed, at: int) -> Event:
    """The arm as OpenTelemetry tells of feature flags."""
    choice, selection = exchange.choice, exchange.selection
    assert choice is not None and selection is not None
    found: Attributes = {
        "feature_flag.key": selection.prompt,
        "feature_flag.provider.name": "promptcanary",
        "feature_flag.result.variant": choice.arm,
        "feature_flag.result.reason": REASONS[choice.reason],
        "feature_flag.set.id": choice.rollout,
    }
    if choice.session is not None:
        found["feature_flag.context.id"] = choice.session.hex()
    return Event("feature_flag.evaluation", at, found)


def error_type(ending: Ending) -> str:
    if ending.error is not None:
        return ending.error.code
    if ending.code is not None:
        return str(ending.code)
    return str(ending.status)


def said(ending: Ending) -> str:
    """Never the provider's own words: they may quote the prompt."""
    return ending.error.message if ending.error is not None else f"the provider answered {error_type(ending)}"


def parameters(exchange: Managed, fields: Fields) -> Attributes:
    """Numbers and words that the provider is asked for, and the form of the answer: the client's, or the
    version's."""
    assert exchange.prepared is not None
    options = exchange.prepared.form(exchange.api).recipe.options
    plain = {option.field: option for option in options if not option.inner}
    found: Attributes = {}
    for name, attribute in PARAMETERS.items():
        value = _asked_for(fields.get(name), plain.get(name))
        if type(value) in (int, float) or (type(value) is str and len(value) <= LONGEST_WORD):
            found[f"gen_ai.request.{attribute}"] = value
    for name, inner in FORMS.items():
        option = next((each for each in options if (each.field, each.inner) == (name, inner)), None)
        form = _asked_for(fields.get(name), option, inner)
        kind = form.get("type") if isinstance(form, dict) else None
        if isinstance(kind, str) and kind in OUTPUT_TYPES:
            found["gen_ai.output.type"] = OUTPUT_TYPES[kind]
    return found


def _asked_for(raw: msgspec.Raw | None, option: Option | None, inner: str = "") -> Any:
    """As it goes upstream; None where it does not, or cannot be read."""
    said = None if raw is None else _decoded(bytes(raw))
    absent = raw is None
    if inner:
        said = said.get(inner) if isinstance(said, dict) else None
        absent = said is None
    return _decoded(option.value) if option is not None and (absent or option.locked) else said


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
