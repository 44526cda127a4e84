"""What a run shows on stderr: at a terminal a line that fits it, else a line now and then."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.cli.display import LEAST_BAR_WIDTH, Display, Pace, fitted
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from raytracker.progress import Failed, Progress
from raytracker.run.failing import MOST_KINDS, Failing

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def progress(settled: int, errors: int = 0, **more: Any) -> Progress:
    """Of 100 tiles in two regions."""
    ledger = Ledger(Layout.of([50, 50]))
    ledger.merge([(0, SUCCESS * (settled - errors) + ERROR * errors)], {})
    kept = {"status": "IN_PROGRESS", "durable": True, "tiles_per_second": 2.0}
    made = Progress.of(ledger, **{name: more.pop(name, kept[name]) for name in kept})
    return Progress(**{**vars(made), **more})


# --- without a terminal ---


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def display(clock: Clock) -> Display:
    """One whose thread has not been started; under pytest stderr is no terminal."""
    return Display(clock)


def lines(display: Display, clock: Clock, until: float, step: float = 0.25) -> list[str]:
    told = []
    while clock.now < until:
        clock.now += step
        line = display.due()
        if line is not None:
            told.append(line)
    return told


def test_a_line_now_and_then(display: Display, clock: Clock):
    """After 2, 5, 10, 30 s, then each minute, also where nothing goes on."""
    display.doing("starting Ray")
    assert lines(display, clock, 6) == ["after 2 s, starting Ray", "after 5 s, starting Ray"]
    display.doing("processing")
    display.update(progress(0, tiles_per_second=0.0))
    assert lines(display, clock, 100) == [
        "after 10 s, processing: 0/100 tiles, 0/2 regions",
        "after 30 s, processing: 0/100 tiles, 0/2 regions",
        "after 60 s, processing: 0/100 tiles, 0/2 regions",
    ]
    display.update(progress(12, 2))
    assert lines(display, clock, 200) == [
        "after 0:01:40, processing: 10/100 tiles, 2 failed, 44 s left, 2.0 tiles/s, 0/2 regions",
        "after 0:02:00, processing: 10/100 tiles, 2 failed, 44 s left, 2.0 tiles/s, 0/2 regions",
        "after 0:03:00, processing: 10/100 tiles, 2 failed, 44 s left, 2.0 tiles/s, 0/2 regions",
    ]


def test_a_line_at_each_tenth(display: Display, clock: Clock):
    """Not one for each update, and none at the end, which the last line tells."""
    told = []
    clock.now = 600.0
    assert display.due() is not None
    for settled in range(1, 101):
        display.update(progress(settled))
        told += lines(display, clock, clock.now + 1.0)
    shown = [int(re.search(r": (\d+)/100", line)[1]) for line in told]
    assert {settled // 10 for settled in shown} >= {*range(1, 10)}
    assert len(shown) <= 9 + 2  # and two minutes


@given(st.lists(st.tuples(st.floats(0.05, 90), st.floats(0, 0.1)), max_size=300))
def test_the_lines_of_any_run_are_few(steps: list[tuple[float, float]]):
    """At most four, nine, and one a minute; and never much more than a minute without."""
    pace, seconds, settled, count, last = Pace(), 0.0, 0.0, 0, 0.0
    for pause, more in steps:
        seconds, settled = seconds + pause, min(1.0, settled + more)
        if pace.is_due(seconds, settled):
            count, last = count + 1, seconds
        assert seconds - last < 60
    assert count <= 4 + 9 + seconds // 60


def test_a_failed_tile_is_said_when_it_happens(display: Display, capsys: Any):
    """The first of each kind of reason, once, as text and nothing else; later ones are counted."""
    failing = Failing(Layout.of([50, 50]))
    failing.note({61: "ValueError: cloud cover 61 %", 60: "ValueError: cloud cover 60 %"})
    display.update(progress(2, 2, failed=failing.first))
    failing.note({3: "ValueError: cloud cover 3.5 %", 4: "OSError: \x1b[31mdisk\nfull"})
    display.update(progress(4, 4, failed=failing.first))
    assert capsys.readouterr().err.splitlines() == [
        "tile 10 of region 1 failed: ValueError: cloud cover 60 %",
        "tile 4 of region 0 failed: OSError: \N{REPLACEMENT CHARACTER}[31mdisk full",
    ]


def test_kinds_are_bounded():
    """A million reasons take no memory; what came first stays first."""
    failing = Failing(Layout.of(1000))
    for number in range(1000):
        failing.note({number: f"ValueError: {'x' * number}"})
    assert failing.first[0] == Failed(0, 0, "ValueError: ")
    assert len(failing.first) == MOST_KINDS


def test_what_keeps_it_is_said_once(display: Display, capsys: Any):
    """And again when it comes again."""
    for trouble in (None, "no table", "no table", None, "no table"):
        display.update(progress(1, trouble=trouble))
    assert capsys.readouterr().err == "no table\nno table\n"
    assert display.trouble == "no table"


# --- at a terminal ---

Opened = Callable[..., tuple[Display, Callable[[], str]]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Opened]:
    """Opens a display at a terminal of some columns; and what reads all that it showed."""
    monkeypatch.delenv("COLUMNS", raising=False)
    opened: list[Any] = []

    def open_one(columns: int, term: str = "xterm-256color", **env: str) -> Any:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        stderr: IO[str] = os.fdopen(theirs, "w")
        for name, value in {"TERM": term, **env}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((columns, 40)))
        opened.extend([stderr, ours])

        def shown() -> str:
            stderr.flush()
            data = b""
            with suppress(BlockingIOError):
                while True:
                    data += os.read(ours, 100_000)
            return data.decode()

        return Display(clock), shown

    yield open_one
    for each in opened:
        os.close(each) if isinstance(each, int) else each.close()


def frame(opened: Any, *updates: Progress) -> str:
    """Returns the last live line, without colours."""
    display, shown = opened
    with display:
        display.doing("processing")
        for each in updates:
            display.update(each)
        display._line.refresh()
        raw = shown()
        last = [part for part in re.split(r"[\r\n]+", ESCAPE.sub("", raw)) if part][-1]
        display.end()
    return last.rstrip()


def test_what_fits_80_columns(terminal: Opened):
    """The bar keeps its width; what is worth least has gone."""
    line = frame(terminal(80), progress(40, 3))
    assert len(line) <= 80
    assert line.count("━") + line.count("╸") + line.count("╺") == 20
    assert "processing" in line
    assert line.endswith("37/100 tiles  3 failed  30 s left")


def test_what_fits_200_columns(terminal: Opened):
    """All of it, and one clock, with its name."""
    line = frame(terminal(200), progress(40, 3))
    assert line.endswith("37/100 tiles  3 failed  30 s left  2.0 tiles/s  0/2 regions")
    assert "elapsed" not in line
    unknown = frame(terminal(200), progress(1, tiles_per_second=0.0, eta_seconds=None))
    assert unknown.endswith("1/100 tiles  0 s elapsed  0/2 regions")


def test_regions_that_are_tiles_are_not_counted_twice(terminal: Opened):
    """Each of one tile."""
    ledger = Ledger(Layout.of(4))
    ledger.merge([(0, SUCCESS)], {})
    line = frame(terminal(200), Progress.of(ledger, status="IN_PROGRESS", durable=True))
    assert line.endswith("1/4 tiles  0 s elapsed")


@given(st.lists(st.text("x", max_size=30), min_size=2, max_size=7), st.integers(10, 250))
def test_the_bar_shrinks_last(parts: list[str], width: int):
    """While anything but what is done, and how far, is shown, it has its width; and all fits."""
    shown, bar = fitted(parts, width)
    assert shown == [part for part in parts if part][: len(shown)]
    if len(shown) > 2:
        assert bar in (20, 40)
    if bar > LEAST_BAR_WIDTH:
        assert sum(len(part) + 2 for part in shown) + bar <= width


def test_nothing_is_left_of_a_line_that_a_resize_broke(terminal: Opened):
    """The cursor rests at its beginning, and all below goes with it: however many lines it is."""
    display, shown = terminal(100)
    with display:
        display.update(progress(40))
        display._line.refresh()
        raw = shown()
        assert raw.endswith("\r")
        display.say("a line of its own")
        raw = shown()
        assert raw.startswith("\r\x1b[J")
        before, _, after = raw.partition("a line of its own\r\n")
        assert ESCAPE.sub("", before).strip() == ""
        assert after.endswith("\r")
        display.end()
        assert shown().endswith("\x1b[2K")


def test_without_colour(terminal: Opened):
    """NO_COLOR is kept."""
    display, shown = terminal(100, NO_COLOR="1")
    with display:
        display.update(progress(40, 3))
        display._line.refresh()
        assert not re.search(r"\x1b\[[0-9;]*[34][0-9][0-9;]*m", shown())
    display, shown = terminal(100, NO_COLOR="")
    with display:
        display.update(progress(40, 3))
        display._line.refresh()
        assert re.search(r"\x1b\[[0-9;]*[39][0-9][0-9;]*m", shown())


def test_a_terminal_that_cannot_move_its_cursor(terminal: Opened):
    """Gets lines."""
    assert terminal(100)[0].live
    assert not terminal(100, term="dumb")[0].live


def test_a_log_with_colours_is_no_terminal(monkeypatch: pytest.MonkeyPatch):
    """As a CI's, which asks for them."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not Display().live


def test_what_keeps_it_is_said_again_each_minute(display: Display, clock: Clock) -> None:
    """A table that is away says nothing new of itself."""
    said: list[str] = []
    display.say = said.append  # type: ignore[method-assign]
    ledger = Ledger(Layout.of(2))
    away = Progress.of(ledger, status="IN_PROGRESS", durable=False, trouble="its table is away")
    for _ in range(130):
        clock.now += 1
        display.update(away)
    assert said == ["its table is away"] * 3
    assert display.seen == "when last seen: 0/2 tiles"
