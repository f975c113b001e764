"""The judge's process, which runs suites as well: `python -m gateway.judge`, as `gateway.app` is started.

It is a module of its own because the OpenAI SDK takes a second and 40 MB to load, which no worker should pay.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from functools import partial
from pathlib import Path

from gateway.app import owner, with_store
from gateway.control.cases import CaseBook
from gateway.control.judging.anchoring import Watch
from gateway.control.judging.asking import Examiner
from gateway.control.judging.budget import Budget
from gateway.control.judging.gate import Gatekeeper
from gateway.control.judging.gauges import at_work, judged
from gateway.control.judging.loop import Judge
from gateway.control.judging.model import JudgeModel
from gateway.control.judging.moderation import Moderator
from gateway.control.judging.pairing import Pairing
from gateway.control.judging.replaying import Replayer
from gateway.control.judging.triage import Triage
from gateway.control.judging.trying import Trier
from gateway.control.judging.watching import Watcher
from gateway.errors import ConfigError, InvalidValue
from gateway.evals.calibration import Labelled, read_labelled
from gateway.evals.drift import FEWEST
from gateway.evals.rubric import Rubric, read_rubric
from gateway.prices import PriceList
from gateway.process import Process, main, tell
from gateway.proxy.judging import rules_of
from gateway.settings import EvalSettings, JudgeSettings, Settings
from gateway.storage.base import Store
from gateway.storage.create import store_of
from gateway.telemetry.metrics import Sample
from gateway.telemetry.tracer import Tracer, exporting

logger = logging.getLogger("gateway.judge")  # it runs as __main__

SUFFIX = "*.yaml"
HTTP_CLIENTS = ("httpx", "httpx2")  # below the OpenAI SDK
LIMITS = {"usd_per_day", "usd_per_rollout"}


async def run_judge(process: Process) -> None:
    """Ready at once: requests are served without it."""
    settings = process.settings
    for client in HTTP_CLIENTS:
        logging.getLogger(client).setLevel(logging.WARNING)  # else a line for each call
    store = store_of(settings)
    async with exporting(settings, secrets.SystemRandom()) as tracer:
        works = [Triage(store, build_watcher(settings, store), owner=f"triage-{owner()}").run]
        news = partial(_news, tracer)
        if settings.judge is not None:
            rubrics = await asyncio.to_thread(read_rubrics, settings.judge)
            judge = build_judge(settings, store, rubrics, tracer, build_watcher(settings, store))
            watch = build_watch(settings, store)
            works += [judge.run, watch.run, build_pairing(settings, store, rubrics, tracer).run]
            news = partial(_news, tracer, (judge, watch))
        if settings.evals is not None:
            works.append(build_gatekeeper(settings, store, tracer).run)
        process.ready()

        async def work() -> None:
            telling = asyncio.create_task(tell(process, news))
            async with asyncio.TaskGroup() as tasks:
                for each in works:
                    tasks.create_task(each(process.stop))
            telling.cancel()

        await with_store(process, store, work)


def _news(tracer: Tracer, judging: tuple[Judge, Watch] | None = None) -> dict[str, list[Sample]]:
    counts, gauges = tracer.counted(), tracer.standing()
    if judging is not None:
        judge, watch = judging
        counts, gauges = counts + judged(judge), gauges + at_work(judge) + watch.shifts()
    return {"counts": counts, "gauges": gauges}


def build_gatekeeper(settings: Settings, store: Store, tracer: Tracer | None = None) -> Gatekeeper:
    """Raises `ConfigError` for a folder of suites that is not there."""
    section = settings.evals
    assert section is not None
    folder = Path(section.suites)
    if not folder.is_dir():
        raise ConfigError(f"evals.suites: {folder} is not a folder")
    trier = build_trier(settings, tracer)
    return Gatekeeper(store, trier, folder, owner=f"gate-{owner()}", compare=section.compare_with_live)


def build_trier(settings: Settings, tracer: Tracer | None = None) -> Trier:
    section, first = settings.evals or EvalSettings(), settings.providers[0]
    judge = None if settings.judge is None else (JudgeModel(settings.judge), settings.judge.model)
    return Trier(
        section,
        section.base_url or first.base_url,
        section.api_key or first.api_key,
        PriceList(settings.prices),
        lambda: secrets.token_hex(16),
        judge,
        tracer,
    )


def build_watcher(settings: Settings, store: Store) -> Watcher:
    section, safety = settings.judge, settings.safety
    judge, budget = None, None
    if section is not None:
        judge = JudgeModel(section), section.model, section.base_url
        budget = Budget(store, per_day=section.usd_per_day, per_rollout=section.usd_per_rollout)
    return Watcher(
        CaseBook(store, most=safety.cases_per_prompt, kept=safety.cases_kept),
        judge=judge,
        moderator=None if safety.moderation is None else Moderator(safety.moderation),
        budget=budget,
        prices=PriceList(settings.prices),
        nonce=lambda: secrets.token_hex(16),
        score_below=safety.case_score,
    )


def build_judge(
    settings: Settings,
    store: Store,
    rubrics: dict[str, Rubric],
    tracer: Tracer | None = None,
    watcher: Watcher | None = None,
) -> Judge:
    """Raises `ConfigError` for a rubric that is not there, or limits in USD for a model without a price."""
    section, prices = judge_section(settings), PriceList(settings.prices)
    priced = prices.tariff(section.model, now=time.time(), base_url=section.base_url) is not None
    if not priced and section.model_dump(include=LIMITS, exclude_defaults=True):
        raise ConfigError(
            f"judge: {section.model} has no price, so limits in USD cannot hold: name one in `prices`"
        )
    if not priced:
        logger.warning("calls of %s have no price: name one in `prices`, or no limit holds", section.model)
    return Judge(store, section, rubrics, prices, owner=f"judge-{owner()}", tracer=tracer, watcher=watcher)


def build_watch(settings: Settings, store: Store) -> Watch:
    """Raises `ConfigError` for anchors that cannot be read."""
    section = judge_section(settings)
    model = JudgeModel(section)
    examiner = Examiner(model, attempts=section.attempts, nonce=lambda: secrets.token_hex(16))
    prices, name = PriceList(settings.prices), f"anchors-{owner()}"
    return Watch(store, section, read_anchors(section), prices, (examiner, model), owner=name)


def read_anchors(section: JudgeSettings) -> dict[str, tuple[Labelled, ...]]:
    """By rubric. Raises `ConfigError`."""
    if section.anchors is None:
        return {}
    folder = Path(section.anchors)
    if not folder.is_dir():
        raise ConfigError(f"judge.anchors: {folder} is not a folder")
    found = {}
    try:
        for path in sorted(folder.glob("*.jsonl")):
            found[path.stem] = read_labelled(path.read_text(encoding="utf-8"), str(path))
            if len(found[path.stem]) < FEWEST:
                raise ConfigError(f"judge.anchors: {path}: at least {FEWEST} answers are needed")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"judge.anchors: {folder} cannot be read: {error}") from error
    except InvalidValue as error:
        raise ConfigError(f"judge.anchors: {error.message}") from error
    return found


def build_pairing(
    settings: Settings, store: Store, rubrics: dict[str, Rubric], tracer: Tracer | None = None
) -> Pairing:
    """Raises `ConfigError` for a rubric that is not there, or an expression that is none."""
    section, prices = judge_section(settings), PriceList(settings.prices)
    flags, rules = settings.evidence.flags, rules_of(settings)
    replayer = Replayer(settings.shadow, settings.providers, prices, flags=flags, rules=rules)
    if not any(each.api_key for each in settings.providers) and settings.shadow.api_key is None:
        logger.info("no upstream has a key: a shadow stage asks without one; shadow.api_key names one")
    owned = f"shadow-{owner()}"
    return Pairing(store, (section, settings.shadow), rubrics, prices, replayer, owner=owned, tracer=tracer)


def read_rubrics(section: JudgeSettings) -> dict[str, Rubric]:
    """By name. Raises `ConfigError`."""
    folder = Path(section.rubrics)
    found: dict[str, Rubric] = {}
    try:
        for path in sorted(folder.glob(SUFFIX)):
            rubric = read_rubric(path.read_text(encoding="utf-8"), str(path))
            if rubric.name in found:
                raise ConfigError(f"judge.rubrics: {path}: a rubric {rubric.name!r} is there already")
            found[rubric.name] = rubric
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"judge.rubrics: {folder} cannot be read: {error}") from error
    except InvalidValue as error:
        raise ConfigError(f"judge.rubrics: {error.message}") from error
    return found


def judge_section(settings: Settings) -> JudgeSettings:
    """Raises `ConfigError` without one."""
    if settings.judge is None:
        raise ConfigError("judge: the configuration has no such section")
    return settings.judge


if __name__ == "__main__":
    main(sys.argv[1:], {"judge": run_judge})
