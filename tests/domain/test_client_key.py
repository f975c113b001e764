"""What a key allows, and that only the key itself is the key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.client_key import ID_BYTES, SECRET_BYTES, ClientKey, Wanted, find, make
from gateway.errors import InvalidValue

CHANCE = bytes(range(ID_BYTES + SECRET_BYTES))


def made(**fields: Any) -> tuple[ClientKey, str]:
    return make(Wanted("shop", **fields), CHANCE, at=1.0, by="ann")


def test_a_key_is_found_by_itself_and_its_secret_is_not_kept() -> None:
    key, text = made()
    assert text.startswith(f"pck_{key.id}_")
    assert text.rpartition("_")[2] not in repr(key)
    assert find({key.id: key}, text.encode()) == key


@given(st.integers(0, 59), st.characters(codec="ascii"))
def test_no_other_key_is(at: int, character: str) -> None:
    key, text = made()
    other = text[:at] + character + text[at + 1 :]
    assert find({key.id: key}, other.encode()) == (key if other == text else None)


@pytest.mark.parametrize(
    "presented", [b"", b"pck_", b"sk-abc", b"\xff" * 60, b"pck_" + b"a" * 12 + b"_" + b"a" * 43]
)
def test_what_is_no_key_is_none(presented: bytes) -> None:
    key, _ = made()
    assert find({key.id: key}, presented) is None


def test_a_revoked_key_is_none() -> None:
    key, text = made()
    revoked = ClientKey(**{name: getattr(key, name) for name in key.__struct_fields__} | {"revoked_at": 2.0})
    assert find({key.id: revoked}, text.encode()) is None


@pytest.mark.parametrize(
    ("prompts", "prompt", "allowed"),
    [
        (("*",), "anything", True),
        (("support-*", "sales"), "support-agent", True),
        (("support-*", "sales"), "sales", True),
        (("support-*", "sales"), "sales-2", False),
        (("a.c",), "abc", False),
        (("*-agent",), "agent", False),
    ],
)
def test_prompts_are_patterns(prompts: tuple[str, ...], prompt: str, allowed: bool) -> None:
    assert made(prompts=prompts)[0].may_use(prompt) is allowed


def test_permissions() -> None:
    plain, narrow = made()[0], made(prompts=("a",))[0]
    assert (plain.may_pass, plain.may_choose, plain.may_preview) == (True, False, False)
    assert not narrow.may_pass
    assert made(prompts=("a",), permissions=("unmanaged",))[0].may_pass
    chooses = made(permissions=("explicit_versions",))[0]
    assert (chooses.may_choose, chooses.may_preview) == (True, False)
    previews = made(permissions=("preview",))[0]
    assert (previews.may_choose, previews.may_preview) == (True, True)


@pytest.mark.parametrize(
    ("rate", "burst", "expected"), [(None, None, 1), (0.5, None, 1), (20.0, None, 20), (20.0, 3, 3)]
)
def test_the_burst_is_a_second_s_worth_unless_given(
    rate: float | None, burst: int | None, expected: int
) -> None:
    assert made(rate=rate, burst=burst)[0].burst == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "No Name"}, "name"),
        ({"prompts": ()}, "prompts"),
        ({"prompts": ("A b",)}, "prompts"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 1.0, "burst": 0}, "burst"),
        ({"burst": 5}, "burst"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Wanted(**{"name": "shop", **fields})
    assert caught.value.param == param
