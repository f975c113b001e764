"""What a request costs where there are many prompts, pins and rollouts, beside a gateway that has few."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import uvloop

from benchmarks.overhead import cpu, load, populate, stall
from benchmarks.overhead.peers import Peer
from benchmarks.overhead.plan import Data, Plan, median, table
from benchmarks.overhead.requests import Template, template

NAME = "growth"
TITLE = "Cost growth"
GROWTHS = {"prompts": (10, 10_000), "pins": (1, 1_000_000), "rollouts": (1, 1000)}
CONNECTIONS = 64
ASKED = 10  # of the prompts
CHANGES = 7
MOST_ROUNDS = 3


def run(plan: Plan) -> Data:
    rows = [grown(plan, kind, few, plan.count(many)) for kind, (few, many) in GROWTHS.items()]
    prompts = plan.count(10_000)
    quiet, changed = uvloop.run(stall.stalls(prompts, CHANGES))
    change = {"prompts": prompts, "quiet_ms": median(quiet, 2), "change_ms": median(changed, 2)}
    print(f"  {change}", flush=True)
    return {"rows": rows, "change": change}


def grown(plan: Plan, kind: str, few: int, many: int) -> Data:
    with ExitStack() as stack:
        upstream = stack.enter_context(plan.provider())
        found: list[Peer] = []
        for count in (few, many):
            folder = plan.folder / f"growth-{kind}-{count}"
            prepare = partial(populate.fill, kind=kind, count=count)
            mode = "rollout" if kind == "pins" else "managed"
            found.append(plan.enter_own(stack, folder, upstream, mode, prepare=prepare))
        counts = (few, many) if kind == "rollouts" else (ASKED, ASKED)
        pairs = zip(found, counts, strict=True)
        asked = [(peer, [] if kind == "pins" else named(peer, count)) for peer, count in pairs]
        small, large = uvloop.run(measure(asked, plan))
    row: Data = {
        "what": kind,
        "few": few,
        "many": many,
        "few_us": median(small),
        "many_us": median(large),
        "ratio": median([after / before for before, after in zip(small, large, strict=True)], 2),
    }
    print(f"  {row}", flush=True)
    return row


def named(peer: Peer, count: int) -> list[Template]:
    """One request to each of the prompts."""
    names = [populate.prompt_name(number) for number in range(count)]
    return [template(peer, stream=False, extra=f"x-prompt: {name}\r\n") for name in names]


async def measure(found: list[tuple[Peer, list[Template]]], plan: Plan) -> list[list[float]]:
    """µs of the worker for each request, a list for each of the two."""
    costs: list[list[float]] = [[], []]
    for number in range(min(plan.rounds, MOST_ROUNDS) + 1):
        for index, (peer, asked) in enumerate(found):
            marks: list[float] = []
            mark = partial(_mark, peer.worker, marks)
            mark()
            outcome = await load.run(
                peer,
                stream=False,
                connections=CONNECTIONS,
                seconds=plan.seconds,
                templates=asked,
                at_end=mark,
            )
            outcome.check(peer.name)
            if number:  # the first one warms: versions are loaded at first use
                costs[index].append((marks[1] - marks[0]) / outcome.requests * 1e6)
    return costs


def _mark(pid: int, marks: list[float]) -> None:
    marks.append(cpu.times(pid).total)


def markdown(data: Data) -> str:
    columns = {
        "what": "what there are",
        "few": "few",
        "many": "many",
        "few_us": "µs/request with few",
        "many_us": "with many",
        "ratio": "×",
    }
    change = data["change"]
    return table(data["rows"], columns) + (
        f"\n\nProcessor time of the worker; requests go to {ASKED} prompts, or to every rollout there is. A "
        f"change with {change['prompts']} prompts keeps a worker's loop for {change['change_ms']} ms at the "
        f"longest (without a change {change['quiet_ms']} ms; medians of {CHANGES})."
    )
