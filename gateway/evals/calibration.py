"""A judge against people: answers that people have labelled, and how often it says the same.

    {"question": "…", "answer": "…", "label": true}        one object a line; a label may be a share as well

A judge that is not calibrated may hold a rollout back, but it is not enough to promote on alone
(docs/adr/0022-calibrated-judges.md). What is known belongs to one `Bench`: another model, another rubric or
another prompt is another judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from gateway.errors import InvalidValue
from gateway.evals.rubric import Bench, rubric_digest
from gateway.stats.agreement import Agreement
from gateway.stats.intervals import Interval

MOST_LABELS, MOST_CHARACTERS = 5000, 64 * 1024  # of question and answer together


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`label`: whether a person found the answer good; or a share of 1, compared with the threshold."""

    answer: str
    label: bool | float
    question: str = ""


class Needs(msgspec.Struct, frozen=True):
    """What makes a judge a calibrated one: so many `labels` with a score, of which people said yes to a
    tenth and no to a tenth, at least; and so large a `kappa`."""

    labels: int = 50
    kappa: float = 0.6


class Range(msgspec.Struct, frozen=True):
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float


class Calibration(msgspec.Struct, frozen=True):
    """`bench` is the digest that each score carries, over model, rubric and prompt (whose own digests stand
    here as well). An answer is good from `threshold` on. `unscored`: by cause. `short`: why it is no
    calibrated judge, "" if it is one. None: cannot be told. `at`: store time, s; `usd`: what it cost."""

    rubric: str
    model: str
    rubric_digest: str
    prompt_digest: str
    bench: str
    threshold: float
    labels: int
    counts: Agreement
    unscored: dict[str, int]
    kappa: Range | None
    true_positives: Range | None
    false_positives: Range | None
    weighted: int
    short: str
    at: float = 0.0
    by: str = ""
    source: str = ""
    usd: float | None = None

    @property
    def calibrated(self) -> bool:
        return not self.short


class Told(msgspec.Struct, frozen=True):
    """What the judge said of one labelled answer."""

    label: bool | float
    score: float | None
    cause: str = ""
    weighted: bool = False


_LINE = msgspec.json.Decoder(Labelled)


def read_labelled(text: str, source: str) -> tuple[Labelled, ...]:
    """Raises `InvalidValue`, which names file and line."""
    found: list[Labelled] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = _LINE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidValue(
                f'{source}:{number}: a line is {{"question", "answer", "label"}} in JSON: {error}'
            ) from error
        if not 0.0 <= item.label <= 1.0:
            raise InvalidValue(f"{source}:{number}: a label is true, false or a number from 0 to 1")
        if not item.answer.strip() or len(item.question) + len(item.answer) > MOST_CHARACTERS:
            raise InvalidValue(
                f"{source}:{number}: an answer has words, at most {MOST_CHARACTERS} with its question"
            )
        found.append(item)
    if not 1 <= len(found) <= MOST_LABELS:
        raise InvalidValue(f"{source}: 1 to {MOST_LABELS} labelled answers are needed, here are {len(found)}")
    return tuple(found)


def calibrate(bench: Bench, told: Iterable[Told], *, threshold: float, needs: Needs) -> Calibration:
    """What the judge's answers come to. Raises `InvalidValue` for a threshold outside (0, 1]."""
    if not 0.0 < threshold <= 1.0:
        raise InvalidValue(f"a threshold is above 0 and at most 1, not {threshold}", param="threshold")
    counts, labels, weighted = Agreement(), 0, 0
    unscored: Counter[str] = Counter()
    for each in told:
        labels += 1
        if each.score is None:
            unscored[each.cause] += 1
            continue
        weighted += each.weighted
        counts = counts.plus(each.label >= threshold, each.score >= threshold)
    kappa = _range(counts.kappa())
    return Calibration(
        rubric=bench.rubric.name,
        model=bench.model,
        rubric_digest=rubric_digest(bench.rubric)[:16],
        prompt_digest=bench.prompt[:16],
        bench=bench.digest,
        threshold=threshold,
        labels=labels,
        counts=counts,
        unscored=dict(unscored),
        kappa=kappa,
        true_positives=_range(counts.true_positives()),
        false_positives=_range(counts.false_positives()),
        weighted=weighted,
        short=_short(counts, kappa, needs),
    )


def _short(counts: Agreement, kappa: Range | None, needs: Needs) -> str:
    pairs, noes = counts.pairs, counts.pairs - counts.yes
    if pairs < needs.labels:
        return f"{pairs} labelled answers with a score; needed are {needs.labels}"
    if 10 * min(counts.yes, noes) < needs.labels:
        each = needs.labels / 10
        return f"people found {counts.yes} answers good and {noes} bad; of each kind {each:.0f} are needed"
    if kappa is None or kappa.estimate < needs.kappa:
        found = "cannot be told" if kappa is None else f"is {kappa.estimate:.2f}"
        return f"kappa {found}; needed is {needs.kappa:g}"
    return ""


def _range(interval: Interval | None) -> Range | None:
    return None if interval is None else Range(*interval)
