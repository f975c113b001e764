"""Rubrics: what a judge is asked about an answer, one question for each criterion, its scale anchored in
words.

    name: helpful
    criteria:
      - name: correct
        question: Is everything that the answer says true of the conversation?
        weight: 2
        anchors: [worst …, …, best …]      one for each score from 1 up

Anchored scores agree better between runs than bare ones; one criterion a question keeps one from colouring
the next. A rubric is frozen into the rollout that is judged by it (`Bench`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import rfc8785
import yaml

from gateway.domain.names import check_name
from gateway.errors import GatewayError, InvalidValue

FEWEST_ANCHORS, MOST_ANCHORS, MOST_CRITERIA = 2, 10, 10
MOST_CHARACTERS = 20_000  # of a rubric's texts: it is sent with each question


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`anchors` say what each score means, from 1 (worst) up."""

    name: str
    question: str
    anchors: tuple[str, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_name(self.name, "criteria.name")
        if not self.question.strip():
            raise InvalidValue(f"{self.name}: a criterion asks a question", param="question")
        if not FEWEST_ANCHORS <= len(self.anchors) <= MOST_ANCHORS:
            raise InvalidValue(
                f"{self.name}: {FEWEST_ANCHORS} to {MOST_ANCHORS} anchors, worst first; here are "
                f"{len(self.anchors)}",
                param="anchors",
            )
        if not 0.0 < self.weight < 1e6:
            raise InvalidValue(f"{self.name}: a weight is above 0, not {self.weight}", param="weight")

    @property
    def best(self) -> int:
        return len(self.anchors)


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    criteria: tuple[Criterion, ...]
    context: str = ""  # what the answers are for: said before every question

    def __post_init__(self) -> None:
        check_name(self.name, "rubric")
        names = [criterion.name for criterion in self.criteria]
        if not 1 <= len(names) <= MOST_CRITERIA or len(set(names)) < len(names):
            raise InvalidValue(
                f"{self.name}: a rubric has 1 to {MOST_CRITERIA} criteria, each with a name of its own",
                param="criteria",
            )
        texts = [self.context, *(text for each in self.criteria for text in (each.question, *each.anchors))]
        if sum(map(len, texts)) > MOST_CHARACTERS:
            raise InvalidValue(f"{self.name}: more than {MOST_CHARACTERS} characters", param="criteria")


class Bench(msgspec.Struct, frozen=True):
    """Who judges a rollout and by what, from its first score to its last: `prompt` is the digest of the
    judge's prompt, which is part of the gateway."""

    model: str
    rubric: Rubric
    prompt: str

    @property
    def digest(self) -> str:
        """16 hex digits over all of it; each score carries them."""
        return digest_of(msgspec.to_builtins(self))[:16]


def read_rubric(text: str, source: str) -> Rubric:
    """Raises `InvalidValue`, which names the file and the field."""
    try:
        return msgspec.convert(yaml.safe_load(text), Rubric)
    except yaml.YAMLError as error:
        raise InvalidValue(f"{source}: not YAML: {error}") from error
    except (msgspec.ValidationError, GatewayError) as error:
        raise InvalidValue(f"{source}: {error}") from error


def rubric_digest(rubric: Rubric) -> str:
    return digest_of(msgspec.to_builtins(rubric))


def digest_of(value: Any) -> str:
    """sha256 over RFC 8785 JSON, in hex."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def mean_score(rubric: Rubric, scores: dict[str, float]) -> float:
    """The weighted mean of criteria's scores in [0, 1].

    >>> a, b = Criterion("a", "?", ("no", "yes"), 3.0), Criterion("b", "?", ("no", "yes"))
    >>> mean_score(Rubric("r", (a, b)), {"a": 1.0, "b": 0.0})
    0.75
    """
    total = sum(criterion.weight for criterion in rubric.criteria)
    return sum(criterion.weight * scores[criterion.name] for criterion in rubric.criteria) / total
