"""The YAML of a prompt file: JSON's values, and none of YAML's traps."""

# ruff: noqa: E501 (tables: one case a line)

import pytest

from gateway.errors import PromptFileError
from gateway.promptfiles.front_matter import Field, dump, read


def front(yaml: str) -> Field:
    return read(f"---\n{yaml}\n---\nbody", "a.prompty")[0]


def test_front_matter_and_body_are_split_at_their_fences() -> None:
    field, body, line = read("---\na: 1\n---  \n\nHi\n---\n", "a")
    assert (field.json(), body, line) == ({"a": 1}, "\nHi\n---\n", 4)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'null'", "null"),
        ("12", 12),
        ("-3", -3),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.0", 1.0),
        (".inf", ".inf"),
        ("=", "="),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        (">\n  one\n  line\n", "one line\n"),
        ('"\\u00e9"', "é"),
        ("{b: [1, {c: d}]}", {"b": [1, {"c": "d"}]}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: object) -> None:
    read_back = front(f"a: {scalar}").json()["a"]
    assert read_back == value
    assert type(read_back) is type(value)
    text = dump({"a": value})
    assert front(text).json() == {"a": value}


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "a.prompty:5: b.c: given twice, first on line 4"),
        ("a: {x: 1, 'x': 2}", "a.prompty:2: a.x: given twice, first on line 2"),
        ("a: &x 1", "a.prompty:2: anchors and aliases (x) are not allowed: repeat it"),
        ("a: &x [1]\nb: *x", "a.prompty:2: anchors and aliases (x) are not allowed: repeat it"),
        ("a: *x", "a.prompty:2: anchors and aliases (x) are not allowed: repeat it"),
        ("a: !!python/name:os.system x", "a.prompty:2: the tag tag:yaml.org,2002:python/name:os.system is not allowed: values are JSON's"),
        ("a: !!binary aGk=", "a.prompty:2: the tag tag:yaml.org,2002:binary is not allowed: values are JSON's"),
        ("a: !x 1", "a.prompty:2: the tag !x is not allowed: values are JSON's"),
        ("\n1: a", "a.prompty:3: the front matter: keys are strings"),
        ("? [a]\n: b", "a.prompty:2: the front matter: keys are strings"),
        ("? {a: b}\n: c", "a.prompty:2: the front matter: keys are strings"),
        ("a: b: c", "a.prompty:2: the front matter is not YAML: mapping values are not allowed here"),
        ("a:\n\t- b", "a.prompty:3: the front matter is not YAML: found character '\\t' that cannot start any token"),
        ("a: [1", "a.prompty:3: the front matter is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 'x", "a.prompty:3: the front matter is not YAML: found unexpected end of stream"),
        ("a: 1\nb: \x07", "a.prompty:3: the character '\\x07' is not allowed in YAML"),
        ("a: 1\n...\nb: 2", "a.prompty:4: the front matter is not YAML: expected '<document start>', but found '<block mapping start>'"),
        ("%YAML 9.9", "a.prompty:2: the front matter is not YAML: found incompatible YAML document (version 1.* is required)"),
        ("a: " + "[" * 25 + "]" * 25, "a.prompty:2: nested more than 20 levels deep"),
        ("a: " + "[" * 60_000, "a.prompty:2: nested more than 20 levels deep"),
        ("a: " + "x" * 70_000, "a.prompty:1: the front matter has 70004 characters, allowed are 65536"),
        ("a: 9007199254740992", "a.prompty:2: a: holds an integer beyond ±(2^53 - 1)"),
        ("a: " + "9" * 5000, "a.prompty:2: a: holds a number that is not finite"),
        ("a: 1e999", "a.prompty:2: a: holds a number that is not finite"),
        ('a: "\\ud800"', "a.prompty:2: a: holds a lone surrogate, which is no character"),
        ('"\\ud800": a', "a.prompty:2: the front matter: keys are strings"),
        ("a: b\nc: ${env:HOME}", "a.prompty:3: ${env:…} is not allowed: a prompt file refers to nothing outside it; declare an input instead"),
        ("a: ${ File : x }", "a.prompty:2: ${file:…} is not allowed: a prompt file refers to nothing outside it; declare an input instead"),
        ('a: "\\x24{env:HOME}"', "a.prompty:2: ${env:…} is not allowed: a prompt file refers to nothing outside it; declare an input instead"),
        ("# ${file:x}", "a.prompty:2: ${file:…} is not allowed: a prompt file refers to nothing outside it; declare an input instead"),
    ],
    ids=lambda value: value[:50],
)  # fmt: skip
def test_it_is_refused_with_its_line(yaml: str, message: str) -> None:
    with pytest.raises(PromptFileError) as refused:
        front(yaml)
    assert refused.value.message == message


def test_the_body_refers_to_nothing_either() -> None:
    with pytest.raises(PromptFileError, match=r"a:5: \$\{env:…\} is not allowed"):
        read("---\na: 1\n---\nHi\n${env:HOME}", "a")


def test_what_either_version_of_yaml_would_not_read_as_text_is_quoted() -> None:
    assert (
        dump({"a": "no", "b": "1e5", "c": "1:30", "d": "plain"})
        == "a: 'no'\nb: \"1e5\"\nc: '1:30'\nd: plain\n"
    )
