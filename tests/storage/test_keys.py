"""Names of keys: in order of number, and no name reaches into another's."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import keys

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
NUMBERS = st.integers(1, 99_999_999)


def test_the_names() -> None:
    assert keys.deployment("support-agent") == "deployment/support-agent"
    assert keys.version("support-agent", 3) == "version/support-agent/00000003"
    assert keys.digest("support-agent", "sha256:ab") == "digest/support-agent/sha256:ab"
    assert keys.metadata("support-agent", 3, 1) == "metadata/support-agent/00000003/00000001"
    assert keys.rollout("support-agent", "r1") == "rollout/support-agent/r1"
    assert keys.audit(12) == "audit/000000000012"
    assert keys.pin("r1", "ab12") == "pin/r1/ab12"
    assert not keys.AUDIT_HEAD.startswith(keys.AUDIT)


@given(NAMES, NUMBERS, NUMBERS)
def test_the_order_of_keys_is_the_order_of_numbers(prompt: str, a: int, b: int) -> None:
    assert (keys.version(prompt, a) < keys.version(prompt, b)) == (a < b)
    assert (keys.audit(a) < keys.audit(b)) == (a < b)
    assert (keys.metadata(prompt, 1, a) < keys.metadata(prompt, 1, b)) == (a < b)


@given(NAMES, NAMES, NUMBERS)
def test_the_prefix_of_one_prompt_holds_no_other(one: str, two: str, number: int) -> None:
    assert keys.version(one, number).startswith(keys.versions(two)) == (one == two)
    assert keys.rollout(one, "r").startswith(keys.rollouts(two)) == (one == two)
    assert keys.metadata(one, number, 1).startswith(keys.metadata_of(two, number)) == (one == two)
