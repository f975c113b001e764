"""Domain values come back as they went in; what cannot be read names its key."""

import pytest

from gateway.domain.prompt import Content, Gate, Message, Part, Version
from gateway.domain.rollout import Deployment, Rollout, Weight
from gateway.errors import GatewayError
from gateway.storage.base import Document
from gateway.storage.codec import decode, decode_document, encode

VERSION = Version(
    prompt="p",
    number=1,
    digest="sha256:0",
    content=Content(messages=(Message("system", (Part("system", "Grüezi, {{ name }}"),)),)),
    created_at=1.5,
    created_by="someone",
)
ROLLOUT = Rollout(
    id="r1",
    prompt="p",
    candidate=2,
    baseline=1,
    salt="s",
    phase="progressing",
    weights=(Weight(0.05, 10.0), Weight(0.5, 20.0)),
    started_at=9.0,
    started_by="someone",
)
DEPLOYMENT = Deployment("p", live=1, rollout=ROLLOUT, gates={1: Gate("passed")}, outcomes={3: "rolled_back"})


@pytest.mark.parametrize("value", [VERSION, ROLLOUT, DEPLOYMENT], ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal(value: Version | Rollout | Deployment) -> None:
    assert decode(encode(value), type(value), key="k") == value
    assert decode_document(Document("k", 1, encode(value)), type(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b'{"prompt": 1}',
        b'{"prompt": "Not A Name"}',
        b"\xff",
        b'{"prompt":' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_names_its_key(value: bytes) -> None:
    with pytest.raises(GatewayError, match="'deployment/p' cannot be read as Deployment") as refusal:
        decode(value, Deployment, key="deployment/p")
    assert refusal.value.param == "deployment/p"
    assert refusal.value.status == 500


def test_fields_of_a_newer_gateway_are_ignored() -> None:
    assert decode(b'{"prompt": "p", "future": {}}', Deployment, key="k") == Deployment("p")


def test_bytes_that_are_no_text_name_their_key() -> None:
    with pytest.raises(GatewayError, match="deployment/x"):
        decode(b'{"prompt":"\xff"}', Deployment, key="deployment/x")
