"""Runs benches, prints what they measured, and notes it in benchmarks/results.json."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from tests.conftest import ENVIRONMENT

if TYPE_CHECKING:
    from benchmarks.harness import Definition


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for; returns the exit status, which says nothing of goals."""
    isolate()
    from benchmarks import docs
    from benchmarks.catalogue import BENCHES

    listed = [f"  {bench.name:<10} {bench.title}" for bench in BENCHES.values()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="\n".join(["benches:", *listed]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; without any, all")
    parser.add_argument("--quick", action="store_true", help="small, and not noted: does it run?")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md instead")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in BENCHES]:
        parser.error(f"no such bench: {', '.join(unknown)}")
    if asked.docs:
        print(*docs.write(), sep="\n")
        return 0
    names = asked.names or list(BENCHES)
    try:
        if len(names) == 1:
            _run(BENCHES[names[0]], quick=asked.quick)
            return 0
        return max([_run_apart(name, quick=asked.quick) for name in names])
    except KeyboardInterrupt:
        return 130


def isolate() -> None:
    """Makes the environment the tests': invented credentials, a Ray that keeps to itself."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "RAY_ADDRESS"]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT, RAY_AUTH_MODE="disabled")
    for number in (signal.SIGINT, signal.SIGTERM):  # either as Ctrl-C: nothing is left behind
        signal.signal(number, signal.default_int_handler)


def _run(definition: Definition, *, quick: bool) -> None:
    from benchmarks import record
    from benchmarks.harness import Bench, number, table
    from benchmarks.process import stolen_seconds

    bench = Bench(definition.name, quick)
    begun, stolen = time.monotonic(), stolen_seconds()
    with redirect_stdout(sys.stderr):  # where Ray tells of the actors that are killed
        definition.run(bench)
    seconds = time.monotonic() - begun
    share = (stolen_seconds() - stolen) / seconds / (os.cpu_count() or 1)
    if share >= 0.01:
        bench.notes.append(f"Meanwhile other guests of the machine took {share:.0%} of the CPUs.")
    if not quick:
        record.append(bench, seconds)
    how = f"{seconds:.0f} s, quick" if quick else f"{seconds:.0f} s"
    print(f"{bench.name}: {definition.title} ({how})\n\n{table(bench.rows)}\n")
    for note in bench.notes:
        print(note)
    for goal in bench.goals:
        met = "met" if goal.met else "NOT met"
        print(f"goal {goal}: {number(goal.value)} {goal.unit}".rstrip() + f", {met}")
    print(flush=True)


def _run_apart(name: str, *, quick: bool) -> int:
    """Runs a bench in a process of its own, whose memory no other bench has seen."""
    command = [sys.executable, "-m", "benchmarks", name, *(["--quick"] if quick else [])]
    # In a session of its own: Ctrl-C reaches it through us, once, and it has time to clear up.
    child = subprocess.Popen(command, start_new_session=True)
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise


if __name__ == "__main__":
    sys.exit(main())
