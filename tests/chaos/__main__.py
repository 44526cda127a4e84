"""The command: python -m tests.chaos --seeds 0:200 --baseline, or --scenario NAME."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos import scenarios
from tests.chaos.draw import draw
from tests.chaos.supervisor import Outcome, play

KINDS = ("miscounted", "lost", "hung")


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays what is asked for; returns 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", default="0:12", help="first:end, or numbers: 0:12,17")
    parser.add_argument("--seed", type=int, help="one seed, with all that befell it")
    parser.add_argument("--baseline", action="store_true", help="play increments, too")
    parser.add_argument("--jobs", type=int, default=1, help="how many seeds side by side")
    parser.add_argument("--scenario", choices=scenarios.SCENARIOS, help="instead of seeds")
    parser.add_argument("--short", action="store_true", help="a scenario, in less time")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what each seed drew")
    asked = parser.parse_args(arguments)
    if asked.scenario:
        return scenarios.play(asked.scenario, short=asked.short)
    seeds = _range(asked.seeds) if asked.seed is None else [asked.seed]
    outcomes = []
    for outcome in play(seeds, baseline=asked.baseline, jobs=asked.jobs):
        outcomes.append(outcome)
        _tell(outcome, verbose=asked.verbose)
    if asked.baseline:
        print(_table(outcomes))
    return _sum_up(outcomes)


def _range(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, end = part.partition(":")
        seeds += range(int(first), int(end) if end else int(first) + 1)
    return seeds


def _tell(outcome: Outcome, *, verbose: bool) -> None:
    """Prints a line of progress; of a failed seed all that helps."""
    line = f"seed {outcome.seed}: {outcome.worst or 'right'}"
    for name in ("tracker", "baseline"):
        if of := getattr(outcome, name):
            line += f", {name} {of['seconds']:.1f} s"
    print(line, flush=True)
    if verbose or outcome.worst:
        print(draw(outcome.seed))
        for event in outcome.tracker.get("events", ()):
            print(f"  {event}")
    for kind, text in outcome.findings:
        print(f"  {kind}: {text}")
    if outcome.worst:
        print(f"  again: python -m tests.chaos --seed {outcome.seed} -v", flush=True)


def _table(outcomes: Sequence[Outcome]) -> str:
    """Returns the tracker and the increments, side by side."""
    rows = [("", "seeds", "images", "regions", "miscounted", "writes")]
    for name, label in (("tracker", "raytracker"), ("baseline", "increments")):
        ended = [getattr(outcome, name) for outcome in outcomes if getattr(outcome, name)]
        numbers = [
            len(ended),
            sum(of["images"] for of in ended),
            sum(of["regions"] for of in ended),
            sum(of["miscounted"] for of in ended),
            sum(of["requests"] for of in ended),
        ]
        rows.append((label, *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_row(row, widths) for row in rows)


def _row(cells: Iterable[str], widths: Iterable[int]) -> str:
    name, *numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join([name.lstrip().ljust(len(name)), *numbers])


def _sum_up(outcomes: Sequence[Outcome]) -> int:
    ended = Counter(outcome.worst for outcome in outcomes)
    counts = [f"{ended[kind]} {kind}" for kind in KINDS]
    if ended["broken"]:
        counts.append(f"{ended['broken']} broken")
    print(f"chaos: {len(outcomes)} seeds, {', '.join(counts)}")
    return 0 if ended[None] == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
