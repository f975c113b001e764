"""The scenario file: how fast, reliable and good the simulated provider is, by the prompt it is given.

Rules are tried in order on the system text (all system and developer messages, joined by newlines); the first
that fits changes the default behaviour. Unknown fields are refused.
"""

import re
from functools import lru_cache
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.errors import ConfigError
from gateway.simulator.faults import FAULTS
from gateway.simulator.reply import Reply

Rate = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0, le=3_600_000)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Behaviour(Section):
    first_token_ms: Milliseconds = 20.0
    """Median time to the first token."""
    gap_ms: Milliseconds = 5.0
    """Median time between tokens; whole answers take first token plus all gaps. 0: all in one write.
    The clock counts whole milliseconds."""
    jitter: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Standard deviation of the logarithm of both times, drawn once for each request."""
    tokens: Annotated[int, Field(ge=1, le=100_000)] = 40
    """Median words of an answer; each is one token and one event."""
    tokens_spread: Annotated[float, Field(ge=0, le=2)] = 0.3
    """Standard deviation of the logarithm of the number of words."""
    quality: Rate = 0.85
    """Mean quality of answers, before it is kept within 0 to 1."""
    quality_spread: Annotated[float, Field(ge=0, le=1)] = 0.08
    """Standard deviation of the quality."""
    error_rate: Rate = 0.0
    """Share of requests that are answered with `error_status`."""
    error_status: Annotated[int, Field(ge=400, le=599)] = 500
    """Status of those errors."""
    refusal_rate: Rate = 0.0
    """Share of answers that refuse."""
    flag_rate: Rate = 0.0
    """Share of answers that the provider's filter cuts (finish_reason content_filter)."""
    broken_json_rate: Rate = 0.0
    """Share of JSON answers that are not valid JSON."""
    tool_call_rate: Rate = 1.0
    """Share of requests with tools that are answered by a tool call."""
    opening: Annotated[str, Field(max_length=10_000)] = ""
    """Text that answers begin with, to tell prompts apart by eye."""
    faults: dict[str, Rate] = {}
    """Share of requests that meet a fault, by the fault's name; together at most 1."""

    @field_validator("faults")
    @classmethod
    def _faults_exist(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if name not in FAULTS:
                raise ValueError(f"{name!r} is not a fault; there are {', '.join(sorted(FAULTS))}")
        if sum(value.values()) > 1:
            raise ValueError("the rates of all faults together are above 1")
        return value


class Rule(Section):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    """Shown in /__sim/stats."""
    contains: Annotated[str, Field(min_length=1)] | None = None
    """Fits a system text that contains this."""
    matches: str | None = None
    """Fits a system text in which this regular expression is found."""
    model: str | None = None
    """Fits requests for this model; with `contains` or `matches`, both must fit."""
    behaviour: Behaviour
    """What is different; fields that are not given are as in the default behaviour."""

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _asks_something(self) -> "Rule":
        if self.contains is self.matches is self.model is None:
            raise ValueError("a rule needs one of contains, matches and model")
        return self

    def fits(self, system: str, model: str) -> bool:
        return (
            (self.contains is None or self.contains in system)
            and (self.matches is None or re.search(self.matches, system) is not None)
            and (self.model is None or self.model == model)
        )


class Judge(Section):
    marker: Annotated[str, Field(min_length=1)] = "prompt-canary-judge"
    """A system text with this makes a request a judge's; so does a JSON schema with a `score` property."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Standard deviation of the judge's error."""
    bias: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Mean of the judge's error."""
    order_bias: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """What an answer gets more for standing after another marked one."""
    unmarked: Rate = 0.5
    """Score of an answer that carries no quality mark."""
    behaviour: Behaviour = Behaviour()
    """Times and failures of judge requests; fields that are not given are as here by default."""
    timeout_rate: Rate = 0.0
    """Share of judge requests that are never answered."""
    logprobs: bool = True
    """Tell the probabilities of a score's tokens to who asks for them."""


class Moderation(Section):
    flag_rate: Rate = 0.0
    """Share of inputs that are flagged by chance."""
    words: tuple[str, ...] = ("simulated-harm",)
    """Inputs that contain one of these are always flagged."""


class Embedding(Section):
    dimensions: Annotated[int, Field(ge=1, le=8192)] = 256
    """Length of vectors where the request does not say."""


class Scenario(Section):
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The same seed and the same request give the same answer."""
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("sim-small", "sim-large")
    """What /v1/models lists; requests may name any other."""
    api_keys: tuple[str, ...] = ()
    """Bearer tokens that are let in; none listed: everybody is."""
    default: Behaviour = Behaviour()
    """Behaviour where no rule fits."""
    rules: tuple[Rule, ...] = ()
    """First that fits wins."""
    judge: Judge = Judge()
    moderation: Moderation = Moderation()
    embedding: Embedding = Embedding()


class Cast:
    """A scenario ready for use: finds the behaviour for a system text and a model; remembers what it can."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._rules = tuple((rule, _changed(scenario.default, rule.behaviour)) for rule in scenario.rules)
        self.behaviour = lru_cache(maxsize=1024)(self._find)
        self.replies: dict[bytes, Reply] = {}  # to recent chat requests, by their bodies

    def _find(self, system: str, model: str) -> tuple[str, Behaviour]:
        for rule, behaviour in self._rules:
            if rule.fits(system, model):
                return rule.name, behaviour
        return "default", self.scenario.default


def _changed(default: Behaviour, change: Behaviour) -> Behaviour:
    return default.model_copy(update={name: getattr(change, name) for name in change.model_fields_set})


def load_scenario(text: str | bytes, *, source: str = "scenario") -> Scenario:
    """Parse and validate YAML (or JSON). `source` names the text in messages. Raises `ConfigError`."""
    try:
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: expected a mapping of scenario fields, got {type(raw).__name__}")
    try:
        return Scenario.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(source, slip) for slip in error.errors())) from error


def _explain(source: str, slip: Any) -> str:
    field = ".".join(str(part) for part in slip["loc"]) or "(top level)"
    if slip["type"] == "extra_forbidden":
        return f"{source}: {field}: unknown field; there are {_siblings(slip['loc'])}"
    given = "" if isinstance(slip["input"], dict) else f" (got {slip['input']!r})"
    return f"{source}: {field}: {slip['msg']}{given}"


def _siblings(location: tuple[int | str, ...]) -> str:
    places: dict[str, type[Section]] = {
        "rules": Rule,
        "default": Behaviour,
        "behaviour": Behaviour,
        "judge": Judge,
        "moderation": Moderation,
        "embedding": Embedding,
    }
    owner = next((places[part] for part in reversed(location[:-1]) if part in places), Scenario)
    return ", ".join(owner.model_fields)
