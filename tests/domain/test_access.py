"""Roles in one order, tokens that are good or not, patterns of prompts."""

import pytest

from gateway.domain.access import Caller, Role, Token, hash_of, is_valid, name_in, text_of
from gateway.errors import InvalidValue


def token(**fields: object) -> Token:
    given = {"name": "ci", "role": "operator", "prompts": (), "hash": hash_of("s"), "created_at": 1.0}
    return Token(**given | {"created_by": "ann"} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", ["viewer"]),
        ("operator", ["viewer", "operator"]),
        ("admin", ["viewer", "operator", "admin"]),
    ],
)
def test_a_role_may_what_the_roles_below_may(role: Role, may: list[Role]) -> None:
    roles: tuple[Role, ...] = ("viewer", "operator", "admin")
    assert [needed for needed in roles if Caller("x", role).has_role(needed)] == may


def test_patterns_of_prompts() -> None:
    limited = Caller("x", "viewer", ("support-*", "faq"))
    assert [limited.may_see(name) for name in ("support-agent", "faq", "faqs", "agent")] == [
        *(True, True, False, False)
    ]
    assert Caller("x", "viewer").may_see("anything")


def test_a_token_is_good_until_it_is_revoked() -> None:
    assert is_valid(token(), text_of("ci", "s"), 5.0)
    assert not is_valid(token(), text_of("ci", "t"), 5.0)
    assert not is_valid(token(), "pct_ci.", 5.0)
    assert not is_valid(token(revoked_at=2.0), text_of("ci", "s"), 5.0)
    assert not is_valid(None, text_of("ci", ""), 5.0)


def test_the_secret_before_a_rotation_is_good_for_its_grace() -> None:
    rotated = token(previous=hash_of("old"), previous_until=10.0)
    assert [is_valid(rotated, text_of("ci", "old"), now) for now in (9.9, 10.0)] == [True, False]
    assert is_valid(rotated, text_of("ci", "s"), 11.0)
    assert not is_valid(token(), text_of("ci", ""), 0.0)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pct_a.b_c.xyz", "a.b_c"),
        ("pct_ci", ""),
        ("ci.xyz", ""),
        ("", ""),
        ("pct_.x", ""),
        ("pct_\udcff.x", "\udcff"),
    ],
)
def test_the_name_in_a_text(text: str, name: str) -> None:
    assert name_in(text) == name
    assert not is_valid(None, text, 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "No"},
        {"name": "controller"},
        {"prompts": ("",)},
        {"prompts": ("[a]",)},
        {"prompts": ("a" * 65,)},
        {"prompts": ("a",) * 51},
    ],
)
def test_what_is_no_token(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        token(**fields)
