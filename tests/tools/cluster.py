"""`python -m tests.tools.cluster`: how fast a Dask cluster would score whole dumps, by its number of workers.

A simulation. Every dump is submitted by the process of the run, passes the scheduler, is scored by a worker, comes and
goes through the store, passes the scheduler again, and is entered by the process of the run. Each of these does one
thing at a time, in order, and takes what the options say; the store is shared by all workers. For a large dump in
blocks, let a dump be a block, and `--run` the time to read it and to write its rows.
"""

from __future__ import annotations

import heapq
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="python -m tests.tools.cluster", help=__doc__, version_flags=[])


class Server:
    """What does one thing at a time: who comes while it is busy waits."""

    def __init__(self) -> None:
        self.free_at = self.busy = 0.0

    def pass_through(self, at: float, seconds: float) -> float:
        """The time at which it is done with what comes at a time and takes so long."""
        self.free_at = max(self.free_at, at) + seconds
        self.busy += seconds
        return self.free_at


def simulated(workers: int, dumps: int, worker: float, run: float, scheduler: float, store: float) -> tuple[float, str]:
    """Seconds for all dumps, and what was busy for the largest share of them. Costs are seconds for each dump.

    The run and the scheduler have half of theirs before a dump is scored, and half after it. The store is read before.
    """
    of_run, of_scheduler, of_store = Server(), Server(), Server()
    ready = [of_scheduler.pass_through(of_run.pass_through(0, run / 2), scheduler / 2) for _ in range(dumps)]
    free = [0.0] * workers
    scored = []
    for at in ready:
        start = max(at, heapq.heappop(free))
        done = max(start + worker, of_store.pass_through(start, store))  # reading and scoring overlap
        heapq.heappush(free, done)
        scored.append(done)
    end = 0.0
    for at in sorted(scored):
        end = of_run.pass_through(of_scheduler.pass_through(at, scheduler / 2), run / 2)
    busy = {
        "workers": worker * dumps / workers,
        "the process of the run": of_run.busy,
        "scheduler": of_scheduler.busy,
        "store": of_store.busy,
    }
    return end, max(busy, key=lambda name: busy[name])


Milliseconds = Annotated[float, Parameter(help="Milliseconds of it for each dump.")]


@app.default
def main(
    *,
    reviews: Annotated[int, Parameter(help="Reviews of each dump.")] = 2_000,
    megabytes: Annotated[float, Parameter(help="What the store carries for each: read twice, and the table.")] = 6.0,
    rate: Annotated[float, Parameter(help="Reviews a second of one worker, alone.")] = 10_000,
    run: Milliseconds = 10.0,
    scheduler: Milliseconds = 2.0,
    store: Annotated[float, Parameter(help="Megabytes a second of the store, for all workers together.")] = 1_000,
    dumps: Annotated[int, Parameter(help="Dumps in all, for each worker.")] = 50,
    up_to: Annotated[int, Parameter(help="The largest number of workers.")] = 64,
) -> None:
    """Print the table."""
    print("| workers | reviews/s | over one | of the ideal | what limits it |\n|---|---|---|---|---|")
    count, first = 1, 0.0
    while count <= up_to:
        costs = (reviews / rate, run / 1000, scheduler / 1000, megabytes / store)
        taken, limit = simulated(count, dumps * count, *costs)
        speed = dumps * count * reviews / taken
        first = first or speed
        print(f"| {count} | {speed:,.0f} | {speed / first:.1f} | {speed / first / count:.0%} | {limit} |")
        count *= 2


if __name__ == "__main__":
    app()
