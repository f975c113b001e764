"""A worker's process: `python -m gateway.dataplane`, as `gateway.app` is started.

It is a module of its own because control plane and admin API take 10 MB to load, which no worker should pay.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys

from gateway.process import Process, main, tell
from gateway.proxy.gauges import counted, standing
from gateway.proxy.worker import Worker, build_worker
from gateway.storage.create import store_of

GC_AFTER, GC_AFTER_YOUNG, GC_AFTER_OLD = 100_000, 20, 50  # requests leave no cycles: look rarely


async def run_worker(process: Process) -> None:
    """Data plane. A store that is down at the start does not keep it from serving baselines."""
    worker: Worker = build_worker(
        process.settings, store_of(process.settings), slot=process.slot, random=random.SystemRandom().random
    )
    await worker.start(process.sock)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_AFTER, GC_AFTER_YOUNG, GC_AFTER_OLD)
    worker.upstream.on_change = process.tell_upstreams
    process.tell_upstreams(worker.upstream.states)
    process.ready()
    telling = asyncio.create_task(
        tell(process, lambda: {"counts": counted(worker), "gauges": standing(worker)})
    )
    await worker.serve(process.stop)
    await worker.drain(process.settings.timeouts.drain, process.hurry)
    await worker.close()
    telling.cancel()
    process.reports.tell({"counts": counted(worker), "gauges": []})


if __name__ == "__main__":
    main(sys.argv[1:], {"worker": run_worker})
