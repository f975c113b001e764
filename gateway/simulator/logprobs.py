"""Probabilities of tokens beside a judge's answer: the expectation of the score is what it perceived."""

import re
from collections.abc import Mapping
from math import log
from typing import Any

import orjson

_SCORE = re.compile(r'("score":)(\d+)')


def logprobs(text: str, schema: Mapping[str, Any], score: float) -> bytes:
    """`choices[].logprobs` for a judgment; `null` where its score is no whole number between two bounds."""
    scale = (schema.get("properties") or {}).get("score") or {}
    low, high = scale.get("minimum"), scale.get("maximum")
    found = _SCORE.search(text)
    if (
        found is None
        or scale.get("type") != "integer"
        or not isinstance(low, int)
        or not isinstance(high, int)
    ):
        return b"null"
    whole, part = divmod(low + score * (high - low), 1.0)
    chances = [(int(whole), 1.0 - part), (int(whole) + 1, part)]
    top = [_token(str(number), chance) for number, chance in chances if chance > 1e-9]
    stated = next((each for each in top if each["token"] == found[2]), _token(found[2], 1e-9))
    tokens = [
        {**_token(text[: found.end(1)], 1.0), "top_logprobs": []},
        {**stated, "top_logprobs": sorted(top, key=lambda each: -each["logprob"])},
        {**_token(text[found.end(2) :], 1.0), "top_logprobs": []},
    ]
    return orjson.dumps({"content": tokens, "refusal": None})


def _token(text: str, chance: float) -> dict[str, Any]:
    return {"token": text, "logprob": log(chance), "bytes": list(text.encode())}
