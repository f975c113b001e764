"""A version's content, compiled once for each worker: what never changes is rendered here, at load.

Most prompts have no variables of a request, and then `render` hands out one shared tuple. A message without
inputs is rendered once also where other messages have some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.domain.prompt import Content, Input, Message, Role
from gateway.errors import InvalidVariables
from gateway.promptfiles.filters import Budget, Clock, no_time
from gateway.promptfiles.inputs import check_variables
from gateway.promptfiles.template import Template, compile_template


class RenderedMessage(NamedTuple):
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class DynamicMessage:
    """A message that reads inputs; its text is its parts', one after the other."""

    role: Role
    parts: tuple[Template, ...]

    def render_within(self, variables: Mapping[str, Any], budget: Budget) -> RenderedMessage:
        pieces = [part.render_within(variables, budget) for part in self.parts]
        return RenderedMessage(self.role, "".join(pieces))


@dataclass(frozen=True, slots=True)
class CompiledPrompt:
    """`static_messages` is the answer to every request without variables: constant, so its encoded bytes can
    be kept. It is None where such a request cannot be answered (an input is required) or needs rendering."""

    inputs: tuple[Input, ...]
    messages: tuple[RenderedMessage | DynamicMessage, ...]
    static_messages: tuple[RenderedMessage, ...] | None

    def render(self, given: Mapping[str, Any], clock: Clock) -> tuple[RenderedMessage, ...]:
        """`given` are the request's variables as decoded JSON; `clock` is monotonic seconds, for the cap on
        time. Raises `InvalidVariables`."""
        if not given and self.static_messages is not None:
            return self.static_messages
        variables = check_variables(self.inputs, given)
        return _render(self.messages, variables, Budget(clock))


def compile_prompt(content: Content) -> CompiledPrompt:
    """Raises `TemplateError` for a template that does not compile; it names message and part."""
    names = frozenset(item.name for item in content.inputs)
    messages = tuple(
        _compile_message(message, names, f"messages[{index}]")
        for index, message in enumerate(content.messages)
    )
    return CompiledPrompt(content.inputs, messages, _without_variables(content.inputs, messages))


def _compile_message(message: Message, names: frozenset[str], where: str) -> RenderedMessage | DynamicMessage:
    parts = tuple(
        compile_template(part.template, names=names, where=f"{where}.parts[{index}]")
        for index, part in enumerate(message.parts)
    )
    texts = [part.static for part in parts if part.static is not None]
    if len(texts) == len(parts):
        return RenderedMessage(message.role, "".join(texts))
    return DynamicMessage(message.role, parts)


def _without_variables(
    inputs: tuple[Input, ...], messages: tuple[RenderedMessage | DynamicMessage, ...]
) -> tuple[RenderedMessage, ...] | None:
    try:
        return _render(messages, check_variables(inputs, {}), Budget(no_time))
    except InvalidVariables:
        return None  # each request without variables is told why


def _render(
    messages: tuple[RenderedMessage | DynamicMessage, ...], variables: Mapping[str, Any], budget: Budget
) -> tuple[RenderedMessage, ...]:
    return tuple(
        message if isinstance(message, RenderedMessage) else message.render_within(variables, budget)
        for message in messages
    )
