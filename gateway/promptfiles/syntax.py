"""Which Jinja2 a template may use: an allow-list over the syntax tree.

The sandbox stops a template from reaching Python; it does not stop one from eating the machine
(`{{ "a" * 10**9 }}`), and its attribute rules have been broken before (CVE-2019-10906, CVE-2024-56326,
CVE-2025-27516, each through `format` or `attr`). So what is not on the list does not compile:

- values are plain names, literals, and lists of literals; the only attributes are those of `loop`
- nothing is called; filters and tests come from two short tables
- nothing multiplies: no `*`, `**`, `%`, `~`; `+` and `-` only where one side is a literal number, which a
  string or list refuses to be added to; no `{% set %}` block, since two of those double a text
- `for`, `if` and `set` are the only statements
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from jinja2 import nodes

from gateway.domain.prompt import MAX_SAFE_INTEGER
from gateway.errors import TemplateError

MAX_NODES = 5_000
MAX_DEPTH = 50  # of the syntax tree; CPython nests at most 20 blocks in the code made of it
MAX_BLOCKS = 15

LOOP_ATTRIBUTES = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
# Names that Jinja2 itself gives a meaning, or that look as if it did.
RESERVED = frozenset(
    {"loop", "self", "super", "caller", "varargs", "kwargs", "range", "dict", "namespace", "context"}
    | {"true", "false", "none", "True", "False", "None", "and", "or", "not", "is", "in", "if", "else"}
)

_STATEMENTS = (nodes.Template, nodes.Output, nodes.For, nodes.If, nodes.Assign)
_VALUES = (nodes.Name, nodes.Const, nodes.TemplateData, nodes.List, nodes.Tuple, nodes.Getattr)
_OPERATORS = (nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not)
_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Neg)
_NAMED = (nodes.Filter, nodes.Test, nodes.Keyword)
_ALLOWED = _STATEMENTS + _VALUES + _OPERATORS + _ARITHMETIC + _NAMED

_SPELLING: dict[type[nodes.Node], str] = {
    nodes.Mul: "'*'",
    nodes.Pow: "'**'",
    nodes.Mod: "'%'",
    nodes.Div: "'/'",
    nodes.FloorDiv: "'//'",
    nodes.Concat: "'~'",
    nodes.Pos: "unary '+'",
    nodes.Call: "a call",
    nodes.Getitem: "an item in brackets",
    nodes.Slice: "a slice",
    nodes.Dict: "a dict literal",
    nodes.AssignBlock: "a set block",
    nodes.Scope: "autoescape",
    nodes.FilterBlock: "a filter block",
    nodes.CallBlock: "a call block",
    nodes.FromImport: "import",
    nodes.With: "with",
}
_INSTEAD = "a template has names, literals, for, if, set, comparisons, filters and tests"

Functions = Mapping[str, Callable[..., Any]]
Place = Callable[[int], str]  # a line of the template as file:line


def check(
    tree: nodes.Template, names: frozenset[str], filters: Functions, tests: Functions, at: Place
) -> None:
    """Raises `TemplateError`, with the place, for the first thing that is not on the list.

    `names` are the declared inputs: a template that assigns one would hide it.
    """
    checker = _Checker(names, filters, tests, at)
    checker.visit(tree, depth=0, blocks=0, in_loop=False)


def assigned(tree: nodes.Template) -> set[str]:
    """The names that a `set` gives a value."""
    return {node.target.name for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)}


def loads(tree: nodes.Template, name: str) -> Iterator[nodes.Name]:
    """Every place where `name` is read."""
    return (node for node in tree.find_all(nodes.Name) if node.name == name and node.ctx == "load")


class _Checker:
    def __init__(self, names: frozenset[str], filters: Functions, tests: Functions, at: Place) -> None:
        self._names = names
        self._filters = filters
        self._tests = tests
        self._at = at
        self._count = 0
        self._line = 1

    def visit(self, node: nodes.Node, *, depth: int, blocks: int, in_loop: bool) -> None:
        self._count += 1
        self._line = _line(node) or self._line
        if self._count > MAX_NODES:
            self._fail(f"the template has more than {MAX_NODES} expressions; split the prompt")
        if depth > MAX_DEPTH or blocks > MAX_BLOCKS:
            self._fail(f"nested too deeply: at most {MAX_BLOCKS} blocks and {MAX_DEPTH} levels in all")
        self._check(node, in_loop)
        children = _children(node)
        blocks += isinstance(node, nodes.For | nodes.If)
        for child in children:
            inside = in_loop or (isinstance(node, nodes.For) and child is not node.iter)
            self.visit(child, depth=depth + 1, blocks=blocks, in_loop=inside)

    def _check(self, node: nodes.Node, in_loop: bool) -> None:
        if not isinstance(node, _ALLOWED):
            what = _SPELLING.get(type(node), type(node).__name__.lower())
            self._fail(f"{what} is not allowed: {_INSTEAD}")
        match node:
            case nodes.Name():
                self._check_name(node)
            case nodes.Const():
                self._check_literal(node)
            case nodes.Getattr():
                self._check_attribute(node, in_loop)
            case nodes.List() | nodes.Tuple():
                if not all(isinstance(item, nodes.Const) or _is_number(item) for item in node.items):
                    self._fail("a list may hold literals only")
            case nodes.For():
                self._check_for(node)
            case nodes.Assign():
                if not isinstance(node.target, nodes.Name):
                    self._fail("set takes one name")
            case nodes.Neg():
                if not _is_number(node.node):
                    self._fail("'-' negates literal numbers only")
            case nodes.Add() | nodes.Sub():
                if not _is_number(node.left) and not _is_number(node.right):
                    self._fail(f"{node.operator!r} needs a literal number on one side")
            case nodes.Filter():
                self._check_named(node, self._filters, "filter")
            case nodes.Test():
                self._check_named(node, self._tests, "test")

    def _check_name(self, node: nodes.Name) -> None:
        if node.name in RESERVED:
            what = "is used as loop.index, loop.first and the like" if node.name == "loop" else "is reserved"
            self._fail(f"the name {node.name!r} {what}")
        if node.ctx == "store" and node.name in self._names:
            self._fail(f"{node.name!r} is an input: give what is set here another name")

    def _check_literal(self, node: nodes.Const) -> None:
        # Jinja2 writes a float too large for Python, such as 1e999, into its code as the name `inf`.
        if type(node.value) in (int, float) and not abs(node.value) <= MAX_SAFE_INTEGER:
            self._fail(f"a number lies within ±(2^53 - 1), not {str(node.value)[:40]}")

    def _check_attribute(self, node: nodes.Getattr, in_loop: bool) -> None:
        of_loop = isinstance(node.node, nodes.Name) and node.node.name == "loop"
        if of_loop and in_loop and node.attr in LOOP_ATTRIBUTES:
            return
        allowed = ", ".join(f"loop.{name}" for name in sorted(LOOP_ATTRIBUTES))
        self._fail(f"the attribute .{node.attr} is not allowed: inside a for there are {allowed}")

    def _check_for(self, node: nodes.For) -> None:
        if node.recursive:
            self._fail("a recursive for is not allowed")
        if not isinstance(node.target, nodes.Name):
            self._fail("for takes one name")

    def _check_named(self, node: nodes.Filter | nodes.Test, table: Functions, what: str) -> None:
        function = table.get(node.name)
        if function is None:
            self._fail(f"the {what} {node.name!r} is not allowed: there are {', '.join(sorted(table))}")
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._fail(f"the {what} {node.name!r} takes no '*' arguments")
        given = [None] * (len(node.args) + (2 if what == "filter" else 1))  # a filter has the context before
        try:
            inspect.signature(function).bind(*given, **{str(pair.key): None for pair in node.kwargs})
        except TypeError as error:
            self._fail(f"the {what} {node.name!r} has wrong arguments: {error}")

    def _fail(self, message: str) -> NoReturn:
        raise TemplateError(f"{self._at(self._line)}: {message}")


def _children(node: nodes.Node) -> Iterator[nodes.Node]:
    if isinstance(node, nodes.Getattr):
        return iter(())  # checked as a whole
    return node.iter_child_nodes()


def _line(node: nodes.Node) -> int | None:
    """Some nodes know no line; then it is their first child's, if that knows one."""
    lines: list[int | None] = [node.lineno, *(child.lineno for child in node.iter_child_nodes())]
    return next((line for line in lines if line is not None), None)


def _is_number(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Neg):
        node = node.node
    return isinstance(node, nodes.Const) and type(node.value) in (int, float)
