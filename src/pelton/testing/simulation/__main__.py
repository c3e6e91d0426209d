"""The command line: `python -m pelton.testing.simulation --seed 1 --runs 10000`.

The last line of its output is a JSON object; the exit status is 1 when a run failed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from hashlib import sha256

import click

from pelton.testing.simulation import Outcome, simulate, simulate_all

#: Runs that a process is given at a time.
_PORTION = 20


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--runs", default=100, show_default=True, help="How many seeds, one run each.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="How many processes share the runs.")
@click.option("--first", is_flag=True, help="Stop at the first failure.")
@click.option("--verbose", is_flag=True, help="Show the trace of each run, with the engine's own log in it.")
def main(seed: int, runs: int, jobs: int, first: bool, verbose: bool) -> None:
    """Run the seeds and tell what came of them."""
    show = click.echo if verbose else None
    seeds = range(seed, seed + runs)
    alone = jobs == 1 or runs <= _PORTION or verbose
    outcomes = (simulate(one, show) for one in seeds) if alone else _shared_out(seeds, jobs)
    done = _gather(outcomes, runs, first=first)
    failures = sorted(one.seed for one in done if one.failure is not None)
    click.echo(json.dumps(_summary(done, failures)))
    sys.exit(1 if failures else 0)


def _gather(outcomes: Iterator[Outcome], runs: int, *, first: bool) -> list[Outcome]:
    """Collect outcomes, telling of failures as they come, and of the progress every few seconds."""
    done: list[Outcome] = []
    failed = 0
    started = told = time.monotonic()
    for outcome in outcomes:
        done.append(outcome)
        if outcome.failure is not None:
            failed += 1
            click.echo(f"seed {outcome.seed}: {outcome.failure}")
            click.echo(f"  replay: python -m pelton.testing.simulation --seed {outcome.seed} --runs 1 --verbose")
            if first:
                break
        now = time.monotonic()
        if now - told > 5:
            told = now
            rate = len(done) / (now - started)
            left = (runs - len(done)) / rate
            click.echo(f"{len(done):,} of {runs:,} runs, {failed} failed, {left:.0f} s left", err=True)
    return done


def _shared_out(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Run the seeds in several processes, and yield the outcomes as they come."""
    # Spawned, not forked: a fork would copy the locks of the libraries' threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        portions = [seeds[at : at + _PORTION] for at in range(0, len(seeds), _PORTION)]
        pending: set[Future[list[Outcome]]] = {pool.submit(simulate_all, portion) for portion in portions}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _summary(done: list[Outcome], failures: list[int]) -> dict[str, object]:
    """Return the figures. trace: a hash over the traces of all runs."""
    traces = sha256()
    for outcome in sorted(done, key=lambda one: one.seed):
        traces.update(outcome.trace.encode())
    return {
        "runs": len(done),
        "failures": len(failures),
        "failing_seeds": failures,
        "trace": traces.hexdigest()[:16],
        "steps": sum(one.steps for one in done),
        "commits": sum(one.commits for one in done),
        "deaths": sum(one.deaths for one in done),
        "virtual_s": round(sum(one.virtual_s for one in done)),
    }


if __name__ == "__main__":
    main()
