"""What a template may not say does not compile, and the message tells where and why."""

import pytest

from gateway.errors import TemplateError
from gateway.promptfiles.template import compile_template

NAMES = frozenset({"x", "xs"})
REFUSED = [
    ("{{ 'a' * 10**9 }}", "'*' is not allowed"),
    ("{{ 2 ** 99 }}", "'**' is not allowed"),
    ("{{ '%s' % x }}", "'%' is not allowed"),
    ("{{ x ~ x }}", "'~' is not allowed"),
    ("{{ x / 2 }}", "'/' is not allowed"),
    ("{{ x // 2 }}", "'//' is not allowed"),
    ("{{ +x }}", "unary '+' is not allowed"),
    ("{{ x + x }}", "'+' needs a literal number on one side"),
    ("{{ x - x }}", "'-' needs a literal number on one side"),
    ("{{ x + 'a' }}", "'+' needs a literal number on one side"),
    ("{{ x + true }}", "'+' needs a literal number on one side"),
    ("{{ -x }}", "'-' negates literal numbers only"),
    ("{{ x.__class__ }}", "the attribute .__class__ is not allowed"),
    ("{{ x.a }}", "the attribute .a is not allowed"),
    ("{{ loop.index }}", "the attribute .index is not allowed: inside a for"),
    ("{% for i in loop.index %}{% endfor %}", "the attribute .index is not allowed"),
    ("{% for i in xs %}{{ loop.cycle }}{% endfor %}", "the attribute .cycle is not allowed"),
    ("{% for i in xs %}{{ loop.index.real }}{% endfor %}", "the attribute .real is not allowed"),
    ("{% for i in xs %}{{ loop }}{% endfor %}", "the name 'loop' is used as loop.index"),
    ("{% for i in xs %}{{ loop(xs) }}{% endfor %}", "a call is not allowed"),
    ("{% for i in xs recursive %}{% endfor %}", "a recursive for is not allowed"),
    ("{% for i, j in xs %}{% endfor %}", "for takes one name"),
    ("{{ x['a'] }}", "an item in brackets is not allowed"),
    ("{{ x[1:2] }}", "is not allowed"),
    ("{{ {'a': 1} }}", "a dict literal is not allowed"),
    ("{{ [x] }}", "a list may hold literals only"),
    ("{{ [[1]] }}", "a list may hold literals only"),
    ("{{ x() }}", "a call is not allowed"),
    ("{{ range(9) }}", "a call is not allowed"),
    ("{{ x|attr('y') }}", "the filter 'attr' is not allowed: there are capitalize, count, d, default, first"),
    ("{{ x|format }}", "the filter 'format' is not allowed"),
    ("{{ x|replace('a', 'b') }}", "the filter 'replace' is not allowed"),
    ("{{ x|center(10000000) }}", "the filter 'center' is not allowed"),
    ("{{ x|_steps }}", "the filter '_steps' is not allowed"),
    ("{{ x|upper(1) }}", "the filter 'upper' has wrong arguments"),
    ("{{ x|join('a', 'b') }}", "the filter 'join' has wrong arguments"),
    ("{{ x|default(width=3) }}", "the filter 'default' has wrong arguments"),
    ("{{ x|join(*xs) }}", "the filter 'join' takes no '*' arguments"),
    ("{% filter upper %}a{% endfilter %}", "a filter block is not allowed"),
    ("{{ x is even }}", "the test 'even' is not allowed"),
    ("{{ x is divisibleby(3) }}", "the test 'divisibleby' is not allowed"),
    ("{{ x is defined(1) }}", "the test 'defined' has wrong arguments"),
    ("{% set a %}b{% endset %}", "a set block is not allowed"),
    ("{% set a, b = xs %}", "set takes one name"),
    ("{% set a.b = 1 %}", "set takes one name"),
    ("{% set x = 1 %}", "'x' is an input"),
    ("{% for x in xs %}{% endfor %}", "'x' is an input"),
    ("{% set loop = 1 %}", "the name 'loop'"),
    ("{% set self = 1 %}", "the name 'self' is reserved"),
    ("{{ self }}", "the name 'self' is reserved"),
    ("{% with %}{% endwith %}", "with is not allowed"),
    ("{% include 'a' %}", "include is not allowed"),
    ("{% import 'a' as b %}", "import is not allowed"),
    ("{% from 'a' import b %}", "import is not allowed"),
    ("{% extends 'a' %}", "extends is not allowed"),
    ("{% block a %}{% endblock %}", "block is not allowed"),
    ("{% macro a() %}{% endmacro %}", "macro is not allowed"),
    ("{% call x() %}{% endcall %}", "a call block is not allowed"),
    ("{% autoescape true %}{% endautoescape %}", "autoescape is not allowed"),
    ("{% do x %}", "Encountered unknown tag 'do'"),
    ("{{ y }}", "'y' is not a declared input: there are x, xs"),
    ("{% for i in xs %}{% endfor %}{{ i }}", "'i' is not a declared input"),
    ("{{ 1e999 }}", "a number lies within ±(2^53 - 1), not inf"),
    ("{{ 9007199254740992 }}", "a number lies within ±(2^53 - 1)"),
    ("{{ x", "unexpected end of template"),
    ("{% if x %}", "Unexpected end of template"),
    ("{# open", "Missing end of comment tag"),
    ("{{ " + "(" * 5000 + "x" + ")" * 5000 + " }}", "too complex to compile"),
    ("{{ " + "not " * 60 + "x }}", "nested too deeply"),
    ("{% if x %}" * 16 + "{% endif %}" * 16, "nested too deeply: at most 15 blocks"),
    ("{{ x }}" * 5000, "more than 5000 expressions"),
    ("{{ 1" + " < 1" * 5000 + " }}", "more than 5000 expressions"),
]


@pytest.mark.parametrize(("source", "complaint"), REFUSED, ids=[source[:40] for source, _ in REFUSED])
def test_it_is_refused_with_its_line(source: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as refused:
        compile_template("\n\n" + source, names=NAMES, where="a.prompty", first_line=10)
    first, _, rest = refused.value.message.partition(": ")
    assert first in ("a.prompty:12", "a.prompty:10")  # the latter where the parser gave up before any line
    assert complaint in rest
    assert first == "a.prompty:12" or "too complex" in rest


def test_fifteen_blocks_compile() -> None:
    source = "{% for i in xs %}" * 15 + "{{ x }}" + "{% endfor %}" * 15
    assert compile_template(source, names=NAMES).names == {"x", "xs"}


def test_without_inputs_the_message_says_so() -> None:
    with pytest.raises(TemplateError, match="'y' is not a declared input: there are no inputs"):
        compile_template("{{ y }}", names=frozenset())
