"""One part of a message, compiled: restricted Jinja2 whose cost has bounds.

Costs are counted where work happens: the iterable of every `for`, every comparison, every filter and each
piece of output pay from a `Budget` that rides in the render's context.

A value is data. It is put into the text after the template was compiled, so template syntax in it is never
evaluated, and messages are separate templates, so a role marker in it splits nothing. Strings print as they
are; any other value prints as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from gateway.errors import InvalidVariables, TemplateError
from gateway.promptfiles import syntax
from gateway.promptfiles.filters import (
    FILTERS,
    TESTS,
    Absent,
    Budget,
    Clock,
    RenderContext,
    no_time,
    print_value,
    steps,
    tick,
)

MAX_SOURCE = 256 * 1024  # characters

# What the code made of a template can raise when the values are not what its author had in mind.
_MISMATCH = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=False, undefined=Absent, keep_trailing_newline=True, finalize=print_value
    )
    environment.globals.clear()
    environment.filters = {**FILTERS, "_steps": steps, "_tick": tick}
    environment.tests = dict(TESTS)
    return environment


class _Meter(NodeTransformer):
    """Lets every `for` pay for its steps, and every comparison look at the clock."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (the visitor's naming)
        self.generic_visit(node)
        node.iter = _metered(node.iter, "_steps")
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _metered(node.expr, "_tick")
        return node


def _metered(node: nodes.Node, name: str) -> nodes.Expr:
    metered = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
    metered.set_environment(_ENVIRONMENT)
    return metered


_ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class Template:
    """`names` are the inputs it reads; `static` is its text if it reads none."""

    where: str
    names: frozenset[str]
    static: str | None
    _code: jinja2.Template

    def render(self, variables: Mapping[str, Any], clock: Clock) -> str:
        """`variables` are checked values by name. Raises `InvalidVariables`."""
        return self.render_within(variables, Budget(clock))

    def render_within(self, variables: Mapping[str, Any], budget: Budget) -> str:
        """As `render`; `budget` is shared with the other parts of the same prompt."""
        return self.static if self.static is not None else _run(self._code, variables, budget, self.where)


def compile_template(
    source: str, *, names: frozenset[str], where: str = "template", first_line: int = 1
) -> Template:
    """Compile Jinja2 `source`; `names` are the declared inputs, the only names it may read.

    `where` and `first_line` say in which file it stands, for messages. Raises `TemplateError`.
    """

    def at(line: int) -> str:
        return f"{where}:{first_line + line - 1}"

    if len(source) > MAX_SOURCE:
        raise TemplateError(f"{at(1)}: a template has at most {MAX_SOURCE} characters, not {len(source)}")
    try:
        tree = _ENVIRONMENT.parse(source)
        syntax.check(tree, names, FILTERS, TESTS, at)
        # What `set` makes in one branch and another reads may be missing: known only when it is rendered.
        free = meta.find_undeclared_variables(tree) - syntax.assigned(tree)
        _check_declared(tree, free - names, names, at)
        code = _ENVIRONMENT.from_string(_Meter().visit(tree))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{at(error.lineno)}: {error.message}") from error
    except (SyntaxError, RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise TemplateError(f"{at(1)}: the template is too complex to compile: {error}") from error
    static = None if free else _render_static(code, at(1))
    return Template(at(1), frozenset(free), static, code)


def _check_declared(tree: nodes.Template, unknown: Set[str], names: frozenset[str], at: syntax.Place) -> None:
    for name in sorted(unknown):
        line = min((node.lineno for node in syntax.loads(tree, name)), default=1)
        declared = ", ".join(sorted(names)) or "no inputs"
        raise TemplateError(f"{at(line)}: {name!r} is not a declared input: there are {declared}")


def _render_static(code: jinja2.Template, where: str) -> str:
    try:
        return _run(code, {}, Budget(no_time), where)
    except InvalidVariables as error:
        raise TemplateError(f"{where}: the template cannot be rendered: {error.message}") from error


def _run(code: jinja2.Template, variables: Mapping[str, Any], budget: Budget, where: str) -> str:
    context = RenderContext(_ENVIRONMENT, variables, None, {})  # type: ignore[arg-type]  # only ever read
    context.budget = budget
    pieces = []
    try:
        for piece in code.root_render_func(context):
            budget.text(len(piece))
            pieces.append(piece)
    except jinja2.UndefinedError as error:
        raise InvalidVariables(
            f"{where}: {error.message}: give it a value, or guard it with 'is defined'",
            param="prompt.variables",
        ) from error
    except (jinja2.TemplateError, *_MISMATCH) as error:
        raise InvalidVariables(
            f"{where}: the template cannot use these variables: {error}", param="prompt.variables"
        ) from error
    return "".join(pieces)
