"""The judge's process: `python -m gateway.judge`, started by the supervisor as `gateway.app` is.

It is a module of its own because the OpenAI SDK takes a second and 40 MB to load, which no worker should pay.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

from gateway.app import Process, main, owner, with_store
from gateway.control.judging.loop import Judge
from gateway.errors import ConfigError, InvalidValue
from gateway.evals.rubric import Rubric, read_rubric
from gateway.prices import PriceList
from gateway.settings import JudgeSettings, Settings
from gateway.storage.base import Store
from gateway.storage.create import store_of

logger = logging.getLogger("gateway.judge")  # it runs as __main__

SUFFIX = "*.yaml"
LIMITS = {"usd_per_day", "usd_per_rollout"}


async def run_judge(process: Process) -> None:
    """Ready at once: requests are served without it."""
    store = store_of(process.settings)
    judge = build_judge(
        process.settings, store, await asyncio.to_thread(read_rubrics, _section(process.settings))
    )
    process.ready()
    await with_store(process, store, lambda: judge.run(process.stop))


def build_judge(settings: Settings, store: Store, rubrics: dict[str, Rubric]) -> Judge:
    """Raises `ConfigError` for a rubric that is not there, or limits in USD for a model without a price."""
    section, prices = _section(settings), PriceList(settings.prices)
    priced = prices.tariff(section.model, now=time.time(), base_url=section.base_url) is not None
    if not priced and section.model_dump(include=LIMITS, exclude_defaults=True):
        raise ConfigError(
            f"judge: {section.model} has no price, so limits in USD cannot hold: name one in `prices`"
        )
    if not priced:
        logger.warning("calls of %s have no price: name one in `prices`, or no limit holds", section.model)
    return Judge(store, section, rubrics, prices, owner=f"judge-{owner()}")


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


def _section(settings: Settings) -> JudgeSettings:
    if settings.judge is None:
        raise ConfigError("judge: the configuration has no such section")
    return settings.judge


if __name__ == "__main__":
    main(sys.argv[1:], {"judge": run_judge})
