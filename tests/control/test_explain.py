"""Why a request or a session got its version: said by the same functions that drew it."""

import pytest

from gateway.control.explain import Explainer, Here, shown
from gateway.control.operations import StoreOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.domain.pins import Pin, PinRules, encode_pin
from gateway.domain.request_id import RequestId, sign
from gateway.errors import InvalidValue, PromptNotDeployed, PromptNotFound
from gateway.storage import keys
from gateway.storage.sqlite import SqliteStore
from tests.support.prompts import prompt_text

KEY = "0123456789abcdef0123456789abcdef"
ANN = By("ann", "why")
SESSION = b"\x01" * 8


@pytest.fixture
def explainer(store: SqliteStore) -> Explainer:
    return Explainer(store, (KEY, "f" * 32), PinRules())


@pytest.fixture
async def rollout(operations: StoreOperations) -> str:
    """Of version 2 against 1, for everybody once it counts; its id."""
    for body in ("one", "two"):
        await operations.push(prompt_text(body), "file", ANN)
    await operations.deploy("support-agent", 1, ANN)
    view = await operations.start("support-agent", Start(2, 1.0), ANN)
    assert view.rollout is not None
    return view.rollout.id


def signed(rollout: str, *, arm: str = "canary", session: bytes = SESSION, at: float = 2e9) -> str:
    version = 2 if arm == "canary" else 1
    return sign(RequestId(rollout, version, arm, session, at, b"1234"), KEY.encode())  # type: ignore[arg-type]


async def test_a_request_of_a_rollout(
    explainer: Explainer, operations: StoreOperations, rollout: str
) -> None:
    found = await explainer.request(signed(rollout))
    assert (found.prompt, found.version, found.arm, found.rollout) == ("support-agent", 2, "canary", rollout)
    assert (found.at, found.weight, found.session) == (2e9, 1.0, SESSION.hex())
    assert found.why == (
        "version 2 answered as canary",
        f"rollout {rollout} gave version 2 to 1 of new sessions then",
        "its session's bucket was below the weight when it was drawn",
    )
    await operations.change("support-agent", "roll_back", By("ann", "worse"))
    assert (await explainer.request(signed(rollout))).why[-1] == "the rollout is rolled_back since: worse"


async def test_requests_without_session_or_rollout(explainer: Explainer, rollout: str) -> None:
    alone = await explainer.request(signed(rollout, arm="stable", session=b""))
    assert alone.session is None
    assert alone.why[-1] == "the request had no session: it was drawn alone, and is no evidence"
    before = await explainer.request(signed("", arm="stable"))
    assert (before.prompt, before.rollout, before.weight) == (None, None, None)
    unknown = await explainer.request(signed("0" * 11 + "1"))
    assert unknown.why[-1] == "rollout 000000000001 is not in this store"


async def test_ids_of_either_key_and_of_no_other(explainer: Explainer, store: SqliteStore) -> None:
    id = sign(RequestId("", 1, "stable", SESSION, 5.0, b"1234"), b"f" * 32)
    assert (await explainer.request(id)).version == 1
    for bad in ("pc1.x", "", id[:-1] + ("A" if id[-1] != "A" else "B")):
        with pytest.raises(InvalidValue):
            await explainer.request(bad)
    with pytest.raises(InvalidValue, match="signing keys are needed"):
        await Explainer(store, (), PinRules()).request(id)


async def test_a_session_is_drawn_by_its_bucket_and_kept_by_its_pin(
    explainer: Explainer, operations: StoreOperations, store: SqliteStore, rollout: str
) -> None:
    await operations.change("support-agent", "set_weight", ANN, weight=0.0)
    drawn = await explainer.session("support-agent", "4711", "header")
    assert (drawn.version, drawn.arm, drawn.weight, drawn.pin) == (1, "stable", 0.0, None)
    assert drawn.bucket is not None
    assert drawn.session is not None
    assert drawn.why == (
        f"rollout {rollout} gives version 2 to buckets below 0",
        f"the session's bucket is {drawn.bucket:.4f}, not below it",
        "its next request draws it by its bucket",
    )
    pin = Pin("canary", 2, 0.1, 1.0, 1.0, True, True, 5.0)
    await store.set_if_absent(keys.pin(rollout, drawn.session), encode_pin(pin), 60.0)
    kept = await explainer.session("support-agent", "4711", "header")
    assert (kept.version, kept.arm, kept.pin) == (2, "canary", shown(pin))
    assert kept.why[-2:] == (
        "it was pinned to version 2 (canary) at weight 0.1",
        "it keeps the version that it has",
    )
    others = [
        await explainer.session("support-agent", "4711", "user"),
        await explainer.session("support-agent", "4711", "header", "aB3dEf6hIj9k"),
    ]
    assert len({drawn.session, *(other.session for other in others)}) == 3


async def test_a_void_pin_and_one_from_before(explainer: Explainer, store: SqliteStore, rollout: str) -> None:
    session = (await explainer.session("support-agent", "a", "header")).session
    assert session is not None
    void = Pin("canary", 9, 0.1, 1.0, 1.0, True, True, 5.0)
    await store.set_if_absent(keys.pin(rollout, session), encode_pin(void), 60.0)
    assert (await explainer.session("support-agent", "a", "header")).why[-1].endswith("void")
    other = (await explainer.session("support-agent", "b", "header")).session
    assert other is not None
    before = Pin("stable", 1, 1.0, 1.0, 1.0, False, False, 5.0)
    await store.set_if_absent(keys.pin(rollout, other), encode_pin(before), 60.0)
    found = await explainer.session("support-agent", "b", "header")
    assert (found.version, found.why[-2]) == (
        1,
        "it began before the rollout, so it stays where it was and is no evidence",
    )


async def test_what_cannot_be_explained(explainer: Explainer, operations: StoreOperations) -> None:
    with pytest.raises(PromptNotFound):
        await explainer.session("support-agent", "a", "header")
    await operations.push(prompt_text(), "file", ANN)
    with pytest.raises(PromptNotDeployed):
        await explainer.session("support-agent", "a", "header")
    for key in ("", "x" * 513):
        with pytest.raises(InvalidValue):
            await explainer.session("support-agent", key, "header")


async def test_requests_that_name_no_prompt_are_explained_by_alias_or_default(
    store: SqliteStore, explainer: Explainer, rollout: str
) -> None:
    named = await explainer.session("support-agent", "4711", "header")
    bound = Explainer(store, (KEY,), PinRules(), Here({"help": "support-agent"}, "support-agent"))
    alias = await bound.unnamed("help", "4711", "header")
    default = await bound.unnamed("gpt-4o", "4711", "header")
    assert alias.session == default.session == named.session
    assert alias.why == ("model help is an alias of prompt support-agent", *named.why)
    assert default.why[0] == "it names no prompt, and the default is support-agent"
    only = Explainer(store, (KEY,), PinRules(), Here({"help": "support-agent"}))
    with pytest.raises(InvalidValue, match=r"passes unchanged \(bindings.aliases: help\)"):
        await only.unnamed("gpt-4o", "4711", "header")


async def test_an_override_of_this_machine_is_told(store: SqliteStore, rollout: str) -> None:
    here = Here(overrides=lambda: {"support-agent": 7})
    found = await Explainer(store, (KEY,), PinRules(), here).session("support-agent", "4711", "header")
    assert found.why[-1].startswith("but this machine serves version 7 to everybody")


async def test_an_answer_is_of_the_session_that_it_was_remembered_with(
    store: SqliteStore, explainer: Explainer, rollout: str
) -> None:
    alone = await explainer.session("support-agent", "resp_1", "previous_response_id")
    assert alone.session is not None
    session = await explainer.session("support-agent", "4711", "header")
    assert session.session is not None
    await store.set_if_absent(keys.alias(alone.session), bytes.fromhex(session.session), 60.0)
    known = await explainer.session("support-agent", "resp_1", "previous_response_id")
    assert (known.session, known.bucket) == (session.session, session.bucket)
