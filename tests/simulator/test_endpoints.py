import base64
import hashlib
import struct
from math import sqrt

import pytest

from tests.simulator.conftest import Start
from tests.simulator.wire import ask


async def test_models(start: Start) -> None:
    port = (await start("models: [one, two]")).port
    assert [each["id"] for each in (await ask(port, "/v1/models")).json()["data"]] == ["one", "two"]
    assert (await ask(port, "/v1/models/two")).json()["id"] == "two"
    assert (await ask(port, "/v1/models/three")).status == 404


async def test_embeddings_are_unit_vectors_in_floats_and_base64(start: Start) -> None:
    port = (await start()).port
    body = {"model": "e", "input": ["a", "b", [1, 2]], "dimensions": 8}
    plain = (await ask(port, "/v1/embeddings", body)).json()
    coded = (await ask(port, "/v1/embeddings", {**body, "encoding_format": "base64"})).json()
    for one, other in zip(plain["data"], coded["data"], strict=True):
        assert struct.unpack("<8f", base64.b64decode(other["embedding"])) == pytest.approx(
            tuple(one["embedding"])
        )
        assert sqrt(sum(each * each for each in one["embedding"])) == pytest.approx(1, abs=1e-5)
    assert len({tuple(each["embedding"]) for each in plain["data"]}) == 3
    single = (await ask(port, "/v1/embeddings", {"model": "e", "input": "a"})).json()
    assert len(single["data"][0]["embedding"]) == 256


@pytest.mark.parametrize("body", [b"{", {"model": "e"}, {"model": "e", "input": "a", "dimensions": 9000}])
async def test_bad_embeddings_are_refused(start: Start, body: object) -> None:
    assert (await ask((await start()).port, "/v1/embeddings", body)).status == 400


async def test_moderations_flag_words_and_at_a_rate(start: Start) -> None:
    port = (await start("moderation: {words: [knife]}")).port
    results = (await ask(port, "/v1/moderations", {"input": ["a knife", "a spoon"]})).json()["results"]
    assert [each["flagged"] for each in results] == [True, False]
    assert [sum(each["categories"].values()) for each in results] == [1, 0]
    always = (await start("moderation: {flag_rate: 1}")).port
    answer = await ask(always, "/v1/moderations", {"input": [{"type": "text", "text": "a"}]})
    assert answer.json()["results"][0]["flagged"]


async def test_anything_else_of_v1_is_echoed(start: Start) -> None:
    port = (await start()).port
    body = b"\x00\xff" * 500_000
    answer = (await ask(port, "/v1/files?purpose=x&a=%20", body, method="PUT", X_Own="Value")).json()
    assert (answer["method"], answer["path"], answer["query"]) == ("PUT", "/v1/files", "purpose=x&a=%20")
    assert (answer["body_size"], answer["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert ["X-Own", "Value"] in answer["headers"]


async def test_other_paths_and_methods_are_errors(start: Start) -> None:
    port = (await start()).port
    assert (await ask(port, "/elsewhere")).status == 404
    assert (await ask(port, "/v1/chat/completions")).status == 405
    assert (await ask(port, "/__sim/nothing")).status == 404
