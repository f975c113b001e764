from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidValue
from gateway.simulator.schema import fitting


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(1, 50))
    return st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}]),
        st.builds(
            lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b},
            st.integers(0, 30),
            st.integers(0, 9),
        ),
        st.builds(lambda b: {"type": "integer", "minimum": b[0], "maximum": b[0] + b[1]}, bounds),
        st.builds(
            lambda b: {"type": "number", "exclusiveMinimum": b[0], "exclusiveMaximum": b[0] + b[1]}, bounds
        ),
        st.builds(
            lambda a: {"type": "integer", "minimum": a, "multipleOf": 5, "maximum": a + 5}, st.integers(-9, 9)
        ),
        st.builds(lambda a: {"type": "integer", "exclusiveMinimum": a}, st.integers(-9, 9)),
        st.lists(st.integers(), min_size=1).map(lambda values: {"enum": values}),
        st.text().map(lambda value: {"const": value}),
        st.sampled_from(["date", "date-time", "email", "uuid", "ipv4"]).map(
            lambda f: {"type": "string", "format": f}
        ),
    )


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        objects = st.dictionaries(st.text(max_size=5), inner, max_size=4).map(
            lambda p: {"type": "object", "properties": p, "required": list(p), "additionalProperties": False}
        )
        arrays = st.builds(
            lambda i, n: {"type": "array", "items": i, "minItems": n}, inner, st.integers(0, 3)
        )
        return objects | arrays | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})

    return st.recursive(leaves(), wider, max_leaves=8)


@given(schemas())
def test_the_value_fits_the_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(fitting(schema, "some text"))


def test_references_and_recursive_types_come_to_an_end() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "next"],
            }
        },
    }
    assert fitting(schema, "x") == {"name": "x", "next": None}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {"$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_without_end_or_with_a_lost_reference_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        fitting(schema, "x")
