"""Suites of the offline gate, in promptfoo's YAML dialect: what a version must get right before anybody sees
it.

    prompts: ["{{question}}"]         what the user says, one template; default: the variable `input`
    defaultTest: {vars, assert, …}    before every test's own
    tests:
      - description: refund
        vars: {question: Can I return it?, tone: warm}    inputs of the prompt, and the template's
        assert: [{type: icontains, value: thirty days}, {type: llm-rubric, value: polite, threshold: 0.75}]
        messages: [{role: user, content: Hi}, …]          ours: what was said before
        options: {repeat: 5, min_pass_rate: 0.8}          ours: of several runs so many must pass

What is not known here is refused with its line: a check that is passed over would be a check that passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec
import yaml

from gateway.errors import InvalidValue
from gateway.evals.checks import ALWAYS, CHECKS, JUDGED, PAIRED, Run
from gateway.evals.rubric import digest_of

MOST_CHARACTERS, MOST_CASES, MOST_REPEATS = 1_000_000, 2000, 50
TOP = ("description", "prompts", "providers", "defaultTest", "tests", "options")
TEST = ("description", "vars", "messages", "assert", "threshold", "metadata", "options")
ASSERT = ("type", "value", "threshold", "weight", "metric", "description", "constraint")
TRIED = ("regex", "is-json", "contains-json", "word-count", "max-chars")
KINDS = frozenset({*CHECKS, *JUDGED, PAIRED})
TURNS = ("user", "assistant")
USER = ("input", "question", "message", "query")

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class Assertion(msgspec.Struct, frozen=True):
    """`type` is one of `KINDS`; `negated`: it was written with `not-`."""

    type: str
    line: int
    negated: bool = False
    value: Any = None
    threshold: float | None = None
    weight: float = 1.0
    constraint: bool = False

    @property
    def shown(self) -> str:
        return f"not-{self.type}" if self.negated else self.type

    @property
    def always(self) -> bool:
        """A constraint: it is never weighed against others, nor made up for by better runs."""
        return self.constraint or (self.type in ALWAYS and not self.negated)


class Case(msgspec.Struct, frozen=True):
    """`threshold`: the weighted mean score that a run needs; None: every check must pass. `messages`: what
    was said before, each with role and content, variables to be filled in; `user`: a template of its own."""

    name: str
    line: int
    vars: dict[str, Any]
    asserts: tuple[Assertion, ...]
    threshold: float | None = None
    repeat: int = 1
    min_pass_rate: float = 1.0
    messages: tuple[dict[str, str], ...] = ()
    user: str = ""

    @property
    def compares(self) -> bool:
        """It needs the live version's answer."""
        return any(each.type == PAIRED for each in self.asserts)


class Suite(msgspec.Struct, frozen=True):
    """`user`: the template of what the user says."""

    name: str
    cases: tuple[Case, ...]
    user: str = ""

    @property
    def digest(self) -> str:
        """12 hex digits over everything but names of lines."""
        value = msgspec.to_builtins(self)
        for case in value["cases"]:
            del case["line"]
            for each in case["asserts"]:
                del each["line"]
        return digest_of(value)[:12]

    @property
    def reference(self) -> str:
        """How a gate names it."""
        return f"{self.name}@{self.digest}"


def read_suite(text: str, name: str, source: str) -> Suite:
    """Raises `InvalidValue`, which names file and line."""
    return _Reader(source).read(text, name)


def filled(template: str, variables: Mapping[str, Any]) -> str:
    """
    >>> filled("Hi {{ name }}, {{other}}", {"name": "Ann"})
    'Hi Ann, {{other}}'
    """
    return _VARIABLE.sub(lambda match: str(variables.get(match[1], match[0])), template)


def user_message(suite: Suite, case: Case) -> str:
    """Raises `InvalidValue` for a case that does not say what the user says."""
    template = case.user or suite.user
    if template:
        missing = [name for name in _VARIABLE.findall(template) if name not in case.vars]
        if missing:
            raise InvalidValue(f"case {case.name!r} (line {case.line}) has no variable {missing[0]!r}")
        return filled(template, case.vars)
    for variable in USER:
        if variable in case.vars:
            return str(case.vars[variable])
    raise InvalidValue(
        f"case {case.name!r} (line {case.line}) does not say what the user says: give the suite "
        f'`prompts: ["{{{{variable}}}}"]`, or the case one of the variables {", ".join(USER)}'
    )


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source

    def fail(self, line: int, complaint: str) -> NoReturn:
        raise InvalidValue(f"{self._source}:{line}: {complaint}")

    def read(self, text: str, name: str) -> Suite:
        if len(text) > MOST_CHARACTERS:
            self.fail(1, f"a suite has at most {MOST_CHARACTERS} characters")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        except yaml.YAMLError as error:
            raise InvalidValue(f"{self._source}: not YAML: {error}") from error
        finally:
            loader.dispose()
        if not isinstance(value, dict):
            self.fail(1, "a suite is a mapping with `tests`")
        self._only(value, TOP, 1, "a suite")
        default = value.get("defaultTest") or {}
        nodes = _items(_member(node, "tests"))
        tests = value.get("tests")
        if not isinstance(tests, list) or not 1 <= len(tests) <= MOST_CASES:
            self.fail(1, f"`tests` is a list of 1 to {MOST_CASES} tests")
        options = self._mapping(value.get("options"), 1, "options")
        common = default, _member(node, "defaultTest")
        cases = [
            self._case(given, index, common, options)
            for index, given in enumerate(zip(tests, nodes, strict=True), 1)
        ]
        return Suite(name, tuple(cases), self._user(value.get("prompts")))

    def _user(self, prompts: Any) -> str:
        if prompts is None:
            return ""
        if not isinstance(prompts, list) or len(prompts) != 1 or not isinstance(prompts[0], str):
            self.fail(1, "`prompts` is a list of one template: what the user says to the version")
        return str(prompts[0])

    def _case(self, given: tuple[Any, Any], index: int, common: tuple[Any, Any], options: Any) -> Case:
        """`given` and `common` (defaultTest) are value and node."""
        (test, place), (default, default_place) = given, common
        line = _line(place)
        test, default = self._mapping(test, line, "a test"), self._mapping(default, line, "defaultTest")
        self._only(test, TEST, line, "a test")
        self._only(default, TEST, _line(default_place), "defaultTest")
        own = {**options, **self._mapping(default.get("options"), line, "options")}
        own |= self._mapping(test.get("options"), line, "options")
        self._only(own, ("repeat", "min_pass_rate"), line, "options")
        asserts = [
            self._assertion(each, where)
            for values, around in ((default, default_place), (test, place))
            for each, where in self._listed(values, around)
        ]
        if not asserts:
            self.fail(line, "a test needs something to assert")
        variables = {
            **self._mapping(default.get("vars"), line, "vars"),
            **self._mapping(test.get("vars"), line, "vars"),
        }
        repeat = own.get("repeat", 1)
        if type(repeat) is not int or not 1 <= repeat <= MOST_REPEATS:
            self.fail(line, f"repeat is a whole number from 1 to {MOST_REPEATS}, not {repeat!r}")
        threshold = test.get("threshold", default.get("threshold"))
        return Case(
            name=str(test.get("description") or f"test {index}"),
            line=line,
            vars=variables,
            asserts=tuple(asserts),
            threshold=None if threshold is None else self._share(threshold, line, "threshold"),
            repeat=repeat,
            min_pass_rate=self._share(own.get("min_pass_rate", 1.0), line, "min_pass_rate"),
            messages=self._messages(test.get("messages") or default.get("messages") or [], line),
        )

    def _messages(self, given: Any, line: int) -> tuple[dict[str, str], ...]:
        for message in given if isinstance(given, list) else [None]:
            said = self._mapping(message, line, "a message")
            if said.get("role") not in TURNS or not isinstance(said.get("content"), str) or len(said) > 2:
                self.fail(line, "`messages` are what was said before: role user or assistant, and content")
        return tuple(given)

    def _listed(self, given: dict[str, Any], place: Any) -> list[tuple[Any, Any]]:
        """Assertions with their nodes."""
        values = given.get("assert") or []
        if not isinstance(values, list):
            self.fail(_line(place), "`assert` is a list")
        return list(zip(values, _items(_member(place, "assert")), strict=True))

    def _assertion(self, given: Any, place: Any) -> Assertion:
        line = _line(place)
        given = self._mapping(given, line, "an assertion")
        self._only(given, ASSERT, line, "an assertion")
        written = given.get("type")
        if not isinstance(written, str):
            self.fail(line, "an assertion has a `type`")
        kind = written.removeprefix("not-")
        if kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            self.fail(line, f"there is no check {written!r}; there is {known}, and each with not-")
        weight, threshold = given.get("weight", 1.0), given.get("threshold")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight < 1e6:
            self.fail(line, f"weight is a number from 0 up, not {weight!r}")
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
            self.fail(line, f"threshold is a number, not {threshold!r}")
        needs = CHECKS[kind].needs if kind in CHECKS else "value"
        if needs and given.get(needs) is None:
            self.fail(line, f"{written} needs a `{needs}`")
        constraint = given.get("constraint", False)
        if not isinstance(constraint, bool):
            self.fail(line, f"constraint is true or false, not {constraint!r}")
        self._try(kind, given.get("value"), line)
        negated = written != kind
        return Assertion(kind, line, negated, given.get("value"), threshold, float(weight), constraint)

    def _try(self, kind: str, value: Any, line: int) -> None:
        """An expression or schema that is none is refused here, not in the middle of a run."""
        if kind not in TRIED or "{{" in str(value):
            return
        try:
            CHECKS[kind].check(Run("{}"), value, None)
        except InvalidValue as error:
            self.fail(line, error.message)

    def _mapping(self, value: Any, line: int, what: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.fail(line, f"{what} is a mapping")
        return value

    def _only(self, value: dict[str, Any], allowed: tuple[str, ...], line: int, what: str) -> None:
        if unknown := sorted(set(value) - set(allowed)):
            self.fail(line, f"{what} has no {unknown[0]!r} here; there is {', '.join(allowed)}")

    def _share(self, value: Any, line: int, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            self.fail(line, f"{what} is a number from 0 to 1, not {value!r}")
        return float(value)


def _line(node: Any) -> int:
    return 1 if node is None else int(node.start_mark.line) + 1


def _member(node: Any, name: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value
    return None


def _items(node: Any) -> list[Any]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
