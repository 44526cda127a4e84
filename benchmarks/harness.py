"""What every bench is made of: sides that take turns, rows of what they gave, and goals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Values = Sequence[float]
Points = Sequence[tuple[float, Values]]

ROUNDS = 5
QUICK_ROUNDS = 2


@dataclass(frozen=True)
class Row:
    """What was measured of one side.

    Attributes:
        what: The side.
        unit: The unit of the next three.
        median: Of all values.
        min: The least.
        max: The greatest.
        count: How many values: rounds, unless `what` says otherwise.
    """

    what: str
    unit: str
    median: float
    min: float
    max: float
    count: int

    @classmethod
    def of(cls, what: str, unit: str, values: Values) -> Row:
        """Returns the row of these values."""
        return cls(what, unit, median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Goal:
    """What a row's median should be.

    Attributes:
        what: The row.
        unit: Its unit.
        bound: The goal.
        at_least: Whether the bound is the least that will do, or the most.
        value: The median.
    """

    what: str
    unit: str
    bound: float
    at_least: bool
    value: float

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        bound = f"{'at least' if self.at_least else 'at most'} {number(self.bound)} {self.unit}"
        return f"{self.what}: {bound.strip()}"


@dataclass
class Bench:
    """One bench at work.

    Attributes:
        name: Its name.
        quick: Whether it only tries that it runs: small sizes, two rounds.
        rows: What it measured.
        goals: What that should be.
        notes: What else a reader must know.
        plot: What a plot shows, if there is one.
    """

    name: str
    quick: bool
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plot: dict[str, Any] | None = None

    def size(self, full: T, quick: T) -> T:
        """Returns the first, or with `--quick` the second."""
        return quick if self.quick else full

    def rounds(self, full: int = ROUNDS) -> int:
        """Returns how many rounds there are."""
        return QUICK_ROUNDS if self.quick else full

    def tell(self, text: str) -> None:
        """Says on stderr how far it has come."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    def alternate(
        self, unit: str, sides: Mapping[str, Callable[[], float]], rounds: int | None = None
    ) -> dict[str, list[float]]:
        """Has the sides take turns, A B A B, and makes a row of each.

        Args:
            unit: The unit of what the sides return.
            sides: By name; each measures once.
            rounds: How many; None: as `rounds()` says.

        Returns:
            What each side returned, by name; the n-th of one beside the n-th of the others.
        """
        values: dict[str, list[float]] = {what: [] for what in sides}
        rounds = rounds or self.rounds()
        for turn in range(1, rounds + 1):
            for what, side in sides.items():
                values[what].append(side())
                self.tell(f"{turn} of {rounds}: {what}: {number(values[what][-1])} {unit}")
        for what in sides:
            self.row(what, unit, values[what])
        return values

    def row(self, what: str, unit: str, values: Values) -> None:
        """Makes a row of values."""
        self.rows.append(Row.of(what, unit, values))

    def goal(
        self,
        what: str,
        values: Values,
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Makes a row of values, unless there is one of that name, and a goal of its median.

        Args:
            what: What the values are: mostly a quotient of two sides, or their difference.
            values: One for each round.
            unit: Their unit.
            at_least: The least that the median should be; or
            at_most: the most.
        """
        if all(row.what != what for row in self.rows):
            self.row(what, unit, values)
        bound = at_most if at_least is None else at_least
        assert bound is not None
        self.goals.append(Goal(what, unit, bound, at_least is not None, median(values)))

    def draw(self, x: str, y: str, lines: Mapping[str, Points], **options: Any) -> None:
        """Has docs/benchmarks.md show a plot of medians, with bars from least to greatest.

        Args:
            x: What the x axis is.
            y: What the y axis is.
            lines: By name: (x, the values there) of each point.
            options: `log` True for two logarithmic axes.
        """
        drawn = {
            name: [[x, median(values), min(values), max(values)] for x, values in points]
            for name, points in lines.items()
        }
        self.plot = {"x": x, "y": y, "lines": drawn, **options}

    def record(self) -> dict[str, Any]:
        """Returns all of it as JSON takes it."""
        return {
            "bench": self.name,
            "rows": [asdict(row) for row in self.rows],
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals],
            "notes": self.notes,
            "plot": self.plot,
        }


class Definition(NamedTuple):
    """A bench that can be run.

    Attributes:
        name: Its name.
        run: Measures; its docstring says what and how.
    """

    name: str
    run: Callable[[Bench], None]

    @property
    def title(self) -> str:
        """The docstring's first line, without its full stop."""
        return (self.run.__doc__ or "").strip().splitlines()[0].rstrip(".")

    @property
    def description(self) -> str:
        """The rest of the docstring."""
        _, _, rest = (self.run.__doc__ or "").strip().partition("\n")
        return "\n".join(line.strip() for line in rest.strip().splitlines())


BENCHES: dict[str, Definition] = {}


def bench(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Makes a function a bench, named as it is."""
    BENCHES[run.__name__] = Definition(run.__name__, run)
    return run


def quotients(left: Values, right: Values) -> list[float]:
    """Returns left / right, round by round."""
    return [a / b for a, b in zip(left, right, strict=True)]


def differences(left: Values, right: Values) -> list[float]:
    """Returns left - right, round by round."""
    return [a - b for a, b in zip(left, right, strict=True)]


def number(value: float) -> str:
    """Returns a number with three digits that count, or all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


HEAD = ("", "unit", "median", "min", "max", "n")


def cells(row: Row) -> tuple[str, ...]:
    """Returns a row as the texts under HEAD."""
    numbers = (number(value) for value in (row.median, row.min, row.max))
    return (row.what, row.unit, *numbers, f"{row.count:,}")


def table(rows: Sequence[Row]) -> str:
    """Returns rows as a table of plain text."""
    texts = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        f"{what:<{widths[0]}}  {unit:<{widths[1]}}"
        + "".join(f"  {text:>{width}}" for text, width in zip(numbers, widths[2:], strict=True))
        for what, unit, *numbers in texts
    )
