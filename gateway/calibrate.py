"""`prompt-canary judge calibrate`, in a process of its own because it loads the OpenAI SDK: the judge on
answers that people have labelled.

What it comes to is kept in the store by the digest of model, rubric and prompt, with an entry in the audit
log. Exit codes are those of the command line: 0 calibrated, 1 not, 2 usage, configuration or file, 3 no data,
or the store is not there.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.control.changes import Entry, record
from gateway.control.judging.asking import Examiner, Judged, Words
from gateway.control.judging.budget import Budget, Spent
from gateway.control.judging.model import JudgeModel, Reply
from gateway.control.plan import By
from gateway.errors import GatewayError, InvalidValue, Unavailable
from gateway.evals.calibration import Calibration, Labelled, Needs, Told, calibrate, read_labelled
from gateway.evals.question import PROMPT_DIGEST
from gateway.evals.rubric import Bench
from gateway.judge import judge_section, read_rubrics
from gateway.prices import PriceList
from gateway.settings import Settings
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store
from gateway.storage.create import store_of
from gateway.supervisor import read_settings

CALIBRATED, SHORT, USAGE, NO_DATA = 0, 1, 2, 3


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    try:
        settings = read_settings(options.config)
        labelled = read_labelled(_text(options.file), str(options.file))
        bench = _bench(settings, options.rubric)
        result = asyncio.run(
            calibrate_and_keep(
                settings, bench, labelled, options.threshold, By(options.actor, str(options.file))
            )
        )
    except GatewayError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return NO_DATA if isinstance(error, Unavailable) else USAGE
    if options.as_json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        console = Console()
        console.print(table(result))
        console.print(verdict(result))
    if not result.counts.pairs:
        return NO_DATA
    return CALIBRATED if result.calibrated else SHORT


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prompt-canary judge calibrate")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rubric")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--actor", default="unknown")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args(arguments)


def _bench(settings: Settings, name: str | None) -> Bench:
    """Raises `ConfigError` without a judge, `InvalidValue` for a rubric that is not there."""
    section = judge_section(settings)
    rubrics = read_rubrics(section)
    wanted = name or section.rubric
    if wanted not in rubrics:
        raise InvalidValue(f"there is no rubric {wanted!r}; there is {', '.join(rubrics)}", param="rubric")
    return Bench(section.model, rubrics[wanted], PROMPT_DIGEST)


async def calibrate_and_keep(
    settings: Settings, bench: Bench, labelled: tuple[Labelled, ...], threshold: float, by: By
) -> Calibration:
    """Ask the judge about each answer and keep what it comes to. Raises `GatewayError`."""
    store = store_of(settings, patient=True)
    await store.open()
    try:
        return await _calibrate(settings, store, bench, labelled, threshold, by)
    finally:
        await store.close()


async def _calibrate(
    settings: Settings,
    store: Store,
    bench: Bench,
    labelled: tuple[Labelled, ...],
    threshold: float,
    by: By,
) -> Calibration:
    section = judge_section(settings)
    needs = Needs(section.calibration_labels, section.calibration_kappa)
    calibrate(bench, (), threshold=threshold, needs=needs)  # a threshold that is none costs nothing
    prices = PriceList(settings.prices)
    spent = Spent()

    def charge(reply: Reply) -> None:
        nonlocal spent
        cost = prices.cost(bench.model, reply.usage, now=time.time(), base_url=section.base_url)
        spent = spent.plus(Spent(calls=1, unpriced=1) if cost is None else Spent(usd=cost.paid, calls=1))

    model = JudgeModel(section)
    examiner = Examiner(model, attempts=section.attempts, nonce=lambda: secrets.token_hex(16))
    room = asyncio.Semaphore(section.concurrency)

    async def one(item: Labelled, done: Callable[[], object]) -> Judged:
        async with room:
            words = Words(item.question, item.answer)
            judged = await examiner.judge(bench, words, patience=section.patience, charge=charge)
        done()
        return judged

    try:
        with Progress(
            console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True
        ) as progress:
            bar = progress.add_task(bench.rubric.name, total=len(labelled))
            found = await asyncio.gather(*(one(item, lambda: progress.advance(bar)) for item in labelled))
    finally:
        await model.close()
    told = [Told(item.label, *judged) for item, judged in zip(labelled, found, strict=True)]
    result = calibrate(bench, told, threshold=threshold, needs=needs)
    usd = None if spent.unpriced == spent.calls else spent.usd
    result = replace(result, by=by.actor, source=by.reason, usd=usd)
    budget = Budget(store, per_day=section.usd_per_day, per_rollout=section.usd_per_rollout)
    budget.add("", time.time(), spent)
    await budget.flush()
    return await keep(store, result, by)


async def keep(store: Store, result: Calibration, by: By) -> Calibration:
    """The newest calibration of a judge counts."""
    made = [result]

    async def planned(now: float) -> Entry | None:
        before = await store.get(keys.calibration(result.bench))
        made[:] = [replace(result, at=now)]
        put = Put(
            keys.calibration(result.bench), codec.encode(made[0]), 0 if before is None else before.revision
        )
        return Entry("calibrate", f"rubric:{result.rubric}", None, msgspec.to_builtins(made[0]), (put,))

    await record(store, by, planned)
    return made[0]


def table(result: Calibration) -> Table:
    shown = Table("", "judge: good", "judge: bad", title=f"{result.rubric} by {result.model}")
    counts = result.counts
    shown.add_row("people: good", str(counts.both), str(counts.missed))
    shown.add_row("people: bad", str(counts.false), str(counts.neither))
    return shown


def verdict(result: Calibration) -> str:
    lines = []
    for name, found in (
        ("kappa", result.kappa),
        ("true positives", result.true_positives),
        ("false positives", result.false_positives),
    ):
        says = "–" if found is None else f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})"
        lines.append(f"{name}: {says}")
    if result.unscored:
        causes = ", ".join(f"{cause}: {count}" for cause, count in sorted(result.unscored.items()))
        lines.append(f"without a score: {causes}")
    lines.append(f"NOT CALIBRATED: {result.short}" if result.short else f"calibrated ({result.bench})")
    return "\n".join(lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
