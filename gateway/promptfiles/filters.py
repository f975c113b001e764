"""What a template may call, and what it pays: filters and tests, and the budget of a render.

Three caps hold for a render: 10,000 steps of loops and of what filters go through, 1 MiB of text made, and
100 ms. Each filter pays for its text before the next can multiply it (`{{ x|tojson|tojson|tojson }}`,
`{{ xs|join(x) }}`). The names are Jinja2's own, the functions are not: those know no caps, and some
(`even`, `odd`, `divisibleby`) apply `%`, which formats when the value is a string.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jinja2
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS

from gateway.errors import InvalidVariables

MAX_STEPS = 10_000
MAX_OUTPUT = 1024 * 1024  # characters
MAX_SECONDS = 0.1

Clock = Callable[[], float]  # seconds, monotonic
Filter = Callable[..., Any]


class Budget:
    """What one render may still use. Raises `InvalidVariables` when it is used up."""

    __slots__ = ("_clock", "_deadline", "_room", "_steps")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadline = clock() + MAX_SECONDS
        self._steps = MAX_STEPS
        self._room = MAX_OUTPUT

    def step(self, count: int = 1) -> None:
        self._steps -= count
        if self._steps < 0:
            raise _exceeded(f"loops take more than {MAX_STEPS} steps")
        self.tick()

    def text(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise _exceeded(f"the text is longer than {MAX_OUTPUT} characters")
        self.tick()

    def tick(self) -> None:
        if self._clock() > self._deadline:
            raise _exceeded(f"rendering takes longer than {MAX_SECONDS * 1000:.0f} ms")


def no_time() -> float:
    """For what is rendered once, at load: steps and text bound it, and no clock makes it repeatable."""
    return 0.0


def _exceeded(what: str) -> InvalidVariables:
    return InvalidVariables(f"the prompt is too costly to render: {what}", param="prompt.variables")


class RenderContext(Context):
    budget: Budget


class Absent(jinja2.StrictUndefined):
    """An input without a value. Testing it is how a template asks for it; any other use is an error."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # the base declares that every operator raises
        return False


FILTERS: dict[str, Filter] = {}


def _filter(*names: str) -> Callable[[Filter], Filter]:
    def register(function: Filter) -> Filter:
        for name in names:
            FILTERS[name] = jinja2.pass_context(function)
        return function

    return register


@_filter("upper")
def _upper(context: RenderContext, value: Any) -> str:
    return _paid_text(context, value).upper()


@_filter("lower")
def _lower(context: RenderContext, value: Any) -> str:
    return _paid_text(context, value).lower()


@_filter("capitalize")
def _capitalize(context: RenderContext, value: Any) -> str:
    return _paid_text(context, value).capitalize()


@_filter("trim")
def _trim(context: RenderContext, value: Any) -> str:
    return _paid_text(context, value).strip()


@_filter("default", "d")
def _default(context: RenderContext, value: Any, otherwise: Any = "", boolean: bool = False) -> Any:
    context.budget.tick()
    return otherwise if isinstance(value, jinja2.Undefined) or (boolean and not value) else value


@_filter("length", "count")
def _length(context: RenderContext, value: Any) -> int:
    context.budget.tick()
    return len(value)


@_filter("first")
def _first(context: RenderContext, value: Any) -> Any:
    return _end_of(context, value, 0)


@_filter("last")
def _last(context: RenderContext, value: Any) -> Any:
    return _end_of(context, value, -1)


@_filter("join")
def _join(context: RenderContext, value: Any, separator: str = "") -> str:
    budget = context.budget
    items = value if isinstance(value, list | tuple) else list(steps(context, value))
    if items is value:
        budget.step(len(items))
    budget.text(len(separator) * len(items))
    return separator.join([_paid_text(context, item) for item in items])


@_filter("tojson")
def _tojson(context: RenderContext, value: Any) -> str:
    context.budget.tick()
    return _paid(context, json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))


def _end_of(context: RenderContext, value: Any, index: int) -> Any:
    context.budget.tick()
    return (
        value[index]
        if len(value)
        else context.environment.undefined("an empty list has no first and no last, so it is undefined")
    )


@jinja2.pass_context
def steps(context: RenderContext, values: Iterable[Any]) -> Iterator[Any]:
    """What a `for` goes through, one step paid at a time."""
    step = context.budget.step
    for value in values:
        step()
        yield value


@jinja2.pass_context
def tick(context: RenderContext, value: Any) -> Any:
    context.budget.tick()
    return value


def _paid(context: RenderContext, text: str) -> str:
    context.budget.text(len(text))
    return text


def _paid_text(context: RenderContext, value: Any) -> str:
    return _paid(context, _as_text(value))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises for a missing input, is empty for an `if` without `else`
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@jinja2.pass_context
def print_value(context: Context, value: Any) -> str:
    return _as_text(value)  # paid for as output


_TEST_NAMES = (
    *("boolean", "defined", "false", "float", "integer", "mapping"),
    *("none", "number", "sequence", "string", "true", "undefined"),
)
TESTS: dict[str, Any] = {name: JINJA_TESTS[name] for name in _TEST_NAMES}
