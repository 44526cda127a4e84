"""docs/benchmarks.md and its plots, made of the latest record of each bench."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .harness import BENCHES, HEAD, Definition, Goal, Row, cells, number
from .record import ROOT, latest, read

DOCS = ROOT / "docs"
INTRODUCTION = """\
# Benchmarks

<!-- not run: it takes a quarter of an hour -->
```sh
make bench                          # all of it, in less than a quarter of an hour on two cores
python -m benchmarks                # the same, in an environment that has all the extras
python -m benchmarks tasks pool     # some of it; --help lists them, --quick tries that they run
python -m benchmarks --docs         # writes this page anew, of benchmarks/results.json
```

Each bench sets raytracker beside the plain way of doing the same, on a real Ray and on DynamoDB
Local, both of this machine. The sides take turns, A B A B; a row shows the median of the rounds,
the least and the greatest, and how many they were. A goal is about the median of the quotients (or
differences) of the rounds, so that it holds on a slower machine, too. No test depends on time: a
goal that is missed is shown as missed, here and on the terminal, and nothing else."""

PROFILE = """\
## Where the time of a task goes

![Flame graph of a worker](flame-tasks.svg)

What a worker does in Python (`py-spy --gil`) while it runs tasks that do nothing but report: nearly
all is Ray's; `ImageTracker.report` is a narrow column, and the thread that sends another at the
edge. `python -m benchmarks.flame` draws it anew, in half a minute. A browser that opens the picture
itself shows names and shares.

So what is left of the difference in [tasks](#tasks) is mostly not in the task: each worker calls
the actor twice a second, which takes Ray some milliseconds in both processes, and once a second
the actor has DynamoDB Local write, all on the cores of the tasks. The rate of tasks that do nothing
is at the goal's edge with that; runs of the bench on the same machine gave %s."""


def write() -> list[Path]:
    """Writes the page and its plots; returns what it wrote."""
    records = latest()
    known = [(d, records[d.name]) for d in BENCHES.values() if d.name in records]
    plots = [_draw(record) for _, record in known if record["plot"]]
    page = DOCS / "benchmarks.md"
    sections = [INTRODUCTION, _summary(record for _, record in known)]
    sections += ["\n\n".join(_section(*entry)) for entry in known]
    sections.append(PROFILE % _all_values("tasks"))
    page.write_text("\n\n".join(sections) + "\n")
    return [page, *plots]


def _all_values(bench: str) -> str:
    """Returns what each run gave for the first goal of a bench, the oldest first."""
    runs = [record for record in read() if record["bench"] == bench and len(record["goals"]) == 1]
    return ", ".join(number(record["goals"][0]["value"]) for record in runs)


def _goals(record: dict[str, Any]) -> Iterator[Goal]:
    for goal in record["goals"]:
        yield Goal(**{name: value for name, value in goal.items() if name != "met"})


def _summary(records: Iterable[dict[str, Any]]) -> str:
    rows = [
        (
            f"[{record['bench']}](#{record['bench']})",
            str(goal),
            f"{number(goal.value)} {goal.unit}".strip(),
            "yes" if goal.met else "**no**",
        )
        for record in records
        for goal in _goals(record)
    ]
    return _markdown(("bench", "goal", "measured", "met"), rows)


def _section(definition: Definition, record: dict[str, Any]) -> Iterator[str]:
    machine = record["machine"]
    commit = f" ({machine['commit']})" if machine["commit"] else ""
    yield f"## {definition.name}"
    yield f"{definition.title}."
    if definition.description:
        yield definition.description
    yield _markdown(HEAD, [cells(Row(**row)) for row in record["rows"]], right_from=2)
    yield from record["notes"]
    if record["plot"]:
        yield f"![{definition.title}]({_picture(record).name})"
    yield (
        f"`python -m benchmarks {definition.name}`: {record['seconds']} s on {machine['cores']} "
        f"cores ({machine['cpu']}), Python {machine['python']}, Ray {machine['ray']}, "
        f"raytracker {machine['raytracker']}{commit}, {record['date'][:10]}"
    )


def _markdown(
    head: Iterable[str], rows: Iterable[Iterable[str]], right_from: int | None = None
) -> str:
    head = list(head)
    right = len(head) if right_from is None else right_from
    rules = ["---" if at < right else "---:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(texts)} |" for texts in (head, rules, *rows))


def _picture(record: dict[str, Any]) -> Path:
    return DOCS / f"benchmark-{record['bench']}.svg"


def _draw(record: dict[str, Any]) -> Path:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    plot, target = record["plot"], _picture(record)
    with mpl.rc_context({"svg.hashsalt": record["bench"], "font.size": 9}):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.add_subplot(xlabel=plot["x"], ylabel=plot["y"])
        for name, points in plot["lines"].items():
            x, middle, least, greatest = zip(*points, strict=True)
            below = [m - low for m, low in zip(middle, least, strict=True)]
            above = [high - m for m, high in zip(middle, greatest, strict=True)]
            axes.errorbar(x, middle, yerr=(below, above), marker="o", capsize=3, label=name)
        if plot.get("log"):
            axes.set(xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(target, metadata={"Date": None})  # the same records, the same file
    return target
