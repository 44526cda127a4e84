"""What a run shows on stderr while it lasts: a live line on a terminal, else lines at times."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, ConsoleRenderable, RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType, Segment, Segments
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..progress import Progress, duration
from .show import one_line, printable

BAR_WIDTH, WIDE_BAR_WIDTH, WIDE = 20, 40, 120  # columns: of the bar, and of a wide terminal
LEAST_BAR_WIDTH = 6
FIRST_LINES = (2.0, 5.0, 10.0, 30.0)  # seconds; then each minute
LINE_SECONDS = 60.0
LEAST_SECONDS = 2.0  # between lines at tenths
LOOK_SECONDS = 0.25


class Display:
    """Shows how a run goes, until `end`.

    Args:
        clock: The time, in seconds.

    Attributes:
        live: Whether stderr is a terminal that can move its cursor.
        busy: As in `Progress`, the last that was known.
        trouble: Likewise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        # Rich also takes for one what it is told to colour, such as the log of a CI.
        self.live = (
            sys.stderr.isatty()
            and self._console.is_interactive
            and not self._console.is_dumb_terminal
        )
        self._clock = clock
        self._began = clock()
        self._spinner = Spinner("dots")
        self._pace = Pace()
        self._ended = threading.Event()
        self._doing = "starting"
        self._progress: Progress | None = None
        self._failed: set[str] = set()
        self.busy: float | None = None
        self.trouble: str | None = None
        self._told = 0.0  # when that was said
        self._line = _Line(self._console, self._shown)

    def __enter__(self) -> Display:
        if self.live:
            self._line.start(refresh=True)
        else:
            threading.Thread(target=self._tell, daemon=True, name="raytracker-display").start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Takes the live line away; nothing more is shown by itself."""
        self._ended.set()
        self._line.stop()

    def say(self, line: str) -> None:
        """Prints a line, above the live one."""
        self._console.print(printable(line))

    def doing(self, what: str) -> None:
        """Shows what is done now."""
        self._doing = what

    def update(self, progress: Progress) -> None:
        """Shows how far the image has come; what keeps it, and what failed first, once each."""
        for failed in progress.failed:
            if failed.reason not in self._failed:
                self._failed.add(failed.reason)
                where = f"tile {failed.tile} of region {failed.region}"
                self.say(f"{where} failed: {one_line(failed.reason)}")
        now = self._clock()
        if progress.trouble is not None and (
            progress.trouble != self.trouble or now - self._told >= LINE_SECONDS
        ):
            self._told = now
            self.say(one_line(progress.trouble))
        self.trouble, self.busy = progress.trouble, progress.busy
        if progress.assembling is not None:
            done, steps = progress.assembling
            self._doing = f"assembling {done:,}/{steps:,}"
        self._progress = progress

    @property
    def seen(self) -> str:
        """How far it was when this was last told, in a line; empty if it never was."""
        if self._progress is None:
            return ""
        return f"when last seen: {', '.join(filter(None, _counts(self._progress)))}"

    # --- without a terminal ---

    def _tell(self) -> None:
        """Prints a line when one is due: the life of a thread."""
        while not self._ended.wait(LOOK_SECONDS):
            line = self.due()
            if line is not None:
                self.say(line)

    def due(self) -> str | None:
        """Returns a line that says how far the run is, if one is due."""
        seconds, progress = self._clock() - self._began, self._progress
        settled = 0.0 if progress is None else 1 - progress.tile_pending / progress.tile_count
        if not self._pace.is_due(seconds, settled):
            return None
        line = f"after {duration(seconds)}, {self._doing}"
        parts = [] if progress is None else [*_counts(progress), *_rates(progress)]
        return f"{line}: {', '.join(filter(None, parts))}" if parts else line

    # --- on a terminal ---

    def _shown(self) -> RenderableType:
        """Returns the live line: as much as fits beside the bar, which shrinks last."""
        progress, width = self._progress, self._console.width
        clock = f"{duration(self._clock() - self._began)} elapsed"
        parts = [clock] if progress is None else [*_counts(progress), *_rates(progress, clock)]
        texts, bar_width = fitted([self._doing, *parts], width - 3)
        table = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(width=bar_width, pulse=progress is None)
        if progress is not None:
            bar.update(progress.tile_count - progress.tile_pending, progress.tile_count)
        doing, *rest = (
            Text(text, style="bold red" if text.endswith(" failed") else "", no_wrap=True)
            for text in texts
        )
        table.add_row(self._spinner, doing, bar, *rest)
        return table


class Pace:
    """When a line is due where there is no terminal.

    After 2, 5, 10 and 30 seconds, then each minute; and at each tenth of the work.
    """

    def __init__(self) -> None:
        self._times = list(FIRST_LINES)
        self._tenths = 0
        self._last = 0.0

    def is_due(self, seconds: float, settled: float) -> bool:
        """Whether one is due now; then it is taken as printed.

        Args:
            seconds: Since the beginning.
            settled: The part of the work that is settled; at 1, other lines say so.
        """
        tenths = int(settled * 10)
        by_time = seconds >= self._times[0]
        by_part = self._tenths < tenths < 10 and seconds >= self._last + LEAST_SECONDS
        if not (by_time or by_part):
            return False
        while self._times[0] <= seconds:
            passed = self._times.pop(0)
            if not self._times:
                self._times.append((passed // LINE_SECONDS + 1) * LINE_SECONDS)
        self._tenths, self._last = tenths, seconds
        return True


def fitted(parts: list[str], width: int) -> tuple[list[str], int]:
    """Returns which parts of the live line fit beside the bar, and the bar's width.

    The last parts go first, but for the first two: what is done, and how far.

    Args:
        parts: In the order of their worth; empty ones are left out.
        width: Columns for all, with two between each two.
    """
    shown, bar = [part for part in parts if part], BAR_WIDTH if width < WIDE else WIDE_BAR_WIDTH
    while True:
        left = width - sum(len(part) + 2 for part in shown)
        if left >= bar or len(shown) <= 2:
            return shown, max(LEAST_BAR_WIDTH, min(bar, left))
        shown.pop()


def _counts(progress: Progress) -> list[str]:
    failed = f"{progress.tile_error:,} failed" if progress.tile_error else ""
    return [f"{progress.tile_success:,}/{progress.tile_count:,} tiles", failed]


def _rates(progress: Progress, clock: str = "") -> list[str]:
    """One clock: the time left, or `clock` while that is not known; then what is of less worth."""
    left = rate = regions = ""
    if progress.tile_pending and progress.eta_seconds is not None:
        left = f"{duration(progress.eta_seconds)} left"
    if progress.tiles_per_second:
        rate = f"{progress.tiles_per_second:,.1f} tiles/s"
    if progress.region_count != progress.tile_count:
        settled = progress.region_count - progress.region_pending
        regions = f"{settled:,}/{progress.region_count:,} regions"
    return [left or clock, rate, regions]


class _Line(Live):
    """The live line. The cursor rests at its beginning, and all below is cleared with it.

    So nothing is left of it when a terminal that became narrower has broken it into several.
    """

    def __init__(self, console: Console, shown: Callable[[], RenderableType]) -> None:
        super().__init__(
            console=console,
            get_renderable=shown,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,  # what is logged goes above it
        )

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Returns what is to be printed, with the line below it."""
        clear = Segments([Segment("\r\x1b[J", None, [(ControlType.CLEAR,)])])
        rest = Control(ControlType.CARRIAGE_RETURN)
        return [clear, *super().process_renderables(renderables), rest]
