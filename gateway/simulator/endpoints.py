"""The other endpoints: models, embeddings, moderations, and an echo for whatever else is asked of /v1."""

import base64
from array import array
from hashlib import shake_256
from math import sqrt
from typing import Any

import msgspec

from gateway.simulator.draws import chance, draw
from gateway.simulator.reply import Reply, Request, error_reply, json_reply
from gateway.simulator.scenario import Cast
from gateway.simulator.text import tokens_of
from gateway.simulator.turn import CREATED

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class EmbeddingBody(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


class ModerationBody(msgspec.Struct):
    input: str | list[str | dict[str, Any]]
    model: str = "omni-moderation-latest"


_embedding = msgspec.json.Decoder(EmbeddingBody).decode
_moderation = msgspec.json.Decoder(ModerationBody).decode


def models(cast: Cast, request: Request) -> Reply:
    """List the scenario's models."""
    return json_reply({"object": "list", "data": [_model(name) for name in cast.scenario.models]})


def model(cast: Cast, name: str) -> Reply:
    """Show one model."""
    if name not in cast.scenario.models:
        return error_reply(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
    return json_reply(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "prompt-canary-simulator"}


def embeddings(cast: Cast, request: Request) -> Reply:
    """Return unit vectors that depend on seed and input only."""
    try:
        body = _embedding(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return error_reply(400, f"We could not parse the body of your request: {error}", code="invalid_json")
    dimensions = body.dimensions or cast.scenario.embedding.dimensions
    if not 1 <= dimensions <= 8192:
        return error_reply(400, f"dimensions is {dimensions}: 1 to 8192 are allowed", param="dimensions")
    inputs = _inputs(body.input)
    data = []
    for index, each in enumerate(inputs):
        values = vector(cast.scenario.seed, each, dimensions)
        coded = (
            base64.b64encode(values.tobytes()).decode()
            if body.encoding_format == "base64"
            else values.tolist()
        )
        data.append({"object": "embedding", "index": index, "embedding": coded})
    tokens = sum(tokens_of(len(each)) for each in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": data, "model": body.model, "usage": usage})


def _inputs(given: str | list[str | int | list[int]]) -> list[bytes]:
    """Return each input as bytes; a list of integers is one text as tokens."""
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        return [_encoded(given)]
    return [_encoded(each) for each in given]


def _encoded(value: object) -> bytes:
    return (value if isinstance(value, str) else repr(value)).encode(errors="replace")


def vector(seed: int, text: bytes, dimensions: int) -> "array[float]":
    """Return a unit vector of 32-bit floats, little-endian on the machines that matter."""
    whole = array("i", shake_256(seed.to_bytes(8, "little") + text).digest(4 * dimensions))
    length = sqrt(sum(each * each for each in whole)) or 1.0
    return array("f", (each / length for each in whole))


def moderations(cast: Cast, request: Request) -> Reply:
    """Flag inputs that hold one of the scenario's words, and others at its rate."""
    try:
        body = _moderation(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return error_reply(400, f"We could not parse the body of your request: {error}", code="invalid_json")
    inputs = [body.input] if isinstance(body.input, str) else body.input
    results = [
        _moderated(cast, each if isinstance(each, str) else str(each.get("text", ""))) for each in inputs
    ]
    identity = draw(cast.scenario.seed, request.body).identity
    return json_reply({"id": f"modr-{identity:08x}", "model": body.model, "results": results})


def _moderated(cast: Cast, text: str) -> dict[str, Any]:
    settings = cast.scenario.moderation
    draws = draw(cast.scenario.seed, text.encode(errors="replace"))
    flagged = any(word in text for word in settings.words) or chance(settings.flag_rate, draws.flag)
    hit = CATEGORIES[draws.text % len(CATEGORIES)] if flagged else ""
    return {
        "flagged": flagged,
        "categories": {name: name == hit for name in CATEGORIES},
        "category_scores": {name: 0.97 if name == hit else 0.0001 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }


def echo(request: Request) -> Reply:
    """Tell what was received."""
    path, _, query = request.target.decode("latin-1").partition("?")
    return json_reply(
        {
            "object": "echo",
            "method": request.method.decode("latin-1"),
            "path": path,
            "query": query,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
            "body_size": request.size,
            "sha256": request.sha256,
        }
    )
