"""Filters: few, and each with a bound on what it makes."""

import pytest

from gateway.promptfiles.filters import FILTERS, TESTS
from gateway.promptfiles.template import compile_template

NAMES = frozenset({"x", "xs", "n"})
VALUES = {"x": " Ab ", "xs": ["c", 1, None], "n": 3}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("x|upper", " AB "),
        ("x|lower", " ab "),
        ("x|trim|capitalize", "Ab"),
        ("x|length", "4"),
        ("xs|count", "3"),
        ("xs|join", "c1null"),
        ("xs|join('-')", "c-1-null"),
        ("x|trim|join('.')", "A.b"),
        ("xs|first", "c"),
        ("xs|last", "null"),
        ("xs|tojson", '["c", 1, null]'),
        ("'é<'|tojson", '"é<"'),
        ("''|default('d')", ""),
        ("''|default('d', true)", "d"),
        ("''|d('d', boolean=true)", "d"),
        ("n|upper", "3"),
        ("[]|join", ""),
    ],
)
def test_a_filter(expression: str, text: str) -> None:
    assert compile_template(f"{{{{ {expression} }}}}", names=NAMES).render(VALUES, lambda: 0.0) == text


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("x is string", True),
        ("n is number", True),
        ("n is integer", True),
        ("n is float", False),
        ("xs is sequence", True),
        ("xs is mapping", False),
        ("x is none", False),
        ("x is not none", True),
        ("x is defined", True),
        ("x is undefined", False),
        ("n is boolean", False),
        ("(n == 3) is true", True),
        ("(n == 3) is false", False),
    ],
)
def test_a_test(expression: str, holds: bool) -> None:
    template = compile_template(f"{{% if {expression} %}}yes{{% endif %}}", names=NAMES)
    assert template.render(VALUES, lambda: 0.0) == ("yes" if holds else "")


def test_nothing_on_the_lists_formats_repeats_or_reaches_for_attributes() -> None:
    assert not FILTERS.keys() & {"attr", "format", "map", "replace", "center", "indent", "string", "batch"}
    assert not TESTS.keys() & {"even", "odd", "divisibleby", "filter", "callable", "sameas"}
