"""A process that writes until it is stopped, and says on stdout what was acknowledged, line by line.

    writer.py kind location prefix name commits

Each of its commits writes one document of its own and one that all writers share. With them go a record of
the log, and a pin. `commits` 0 goes on until the process is killed.
"""

import asyncio
import itertools
import sys

from gateway.storage.base import Put
from gateway.storage.create import create_store
from gateway.storage.limits import Limits


async def main() -> None:
    kind, location, prefix, name, commits = sys.argv[1:]
    assert kind in ("sqlite", "redis")
    store = create_store(kind, location, prefix=prefix, limits=Limits(call=20.0, lookup=20.0))
    await store.open()
    for i in range(int(commits)) if int(commits) else itertools.count():
        value = f"{name}/{i}"
        revision = await store.commit(
            [Put(f"d/{value}", value.encode(), 0), Put("d/shared", value.encode(), None)]
        )
        position = await store.append("log", [value.encode()])
        winner = await store.set_if_absent(f"pin/{value}", value.encode(), 600)
        await store.enqueue("queue", value, value.encode())
        print(value, revision, position, winner.decode(), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
