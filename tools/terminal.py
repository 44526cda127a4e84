"""Takes the pictures of the command in a terminal that docs/ shows, as SVG.

Usage: terminal.py [FOLDER [COLUMNS [light]]]    (no name: docs/, 100 columns, dark)

The commands are real, each in a terminal of its own, on the forty images of tests/support/forty.py.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from raytracker.job_table import JobTable
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import SUCCESS, Layout, Ledger
from raytracker.local import EmbeddedDynamoDB
from tests.support import forty

FOLDER = Path(__file__).parents[1] / "docs"
ROWS = 40
WATCH_SECONDS = 8
WATCHED = ("scene-19", "scene-26", forty.STUCK, "scene-31", "scene-32")
SHOTS = {
    "list": ("list", "--limit", "12"),
    "errors": ("errors", "scene-27"),
    "status": ("status", "scene-27"),
    "watch": ("watch", *WATCHED, "--every", "1"),
}
_ANOTHER_FRAME = re.compile(r"(?:\r?\x1b\[(?:1A|2K))+")
_CURSOR = re.compile(r"\x1b\[\?25[lh]")
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # they are of a server elsewhere


def typed(args: tuple[str, ...], columns: int, seconds: float) -> str:
    """Returns what a command shows in a terminal, its last frame, after so many seconds at most."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    line = [sys.executable, "-m", "raytracker", *args]
    command = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    end = threading.Timer(seconds, command.kill)
    end.start()
    shown = bytearray()
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # so it ends on Linux
        pass
    os.close(ours)
    end.cancel()
    command.wait()
    text = _CURSOR.sub("", shown.decode().replace("\r\n", "\n"))
    return _ANOTHER_FRAME.split(text)[-1]


def get_on(table: JobTable, stop: threading.Event) -> None:
    """Has some of the watched images get on, until it is told to stop."""
    step = 0
    while not stop.wait(0.5):
        step += 1
        for image_id, rate in (("scene-19", 23), ("scene-26", 61)):
            job = table.read(image_id)
            assert job is not None
            ledger = Ledger(Layout([(forty.REGIONS, forty.TILES)]))
            done = 600 + rate * step
            ledger.merge([(60, SUCCESS * done)], {})
            ledger.merge([(0, forty.ERROR * 60)], dict.fromkeys(range(60), forty.OOM))
            job.tracker_ledger = to_text(ledger.encode())
            job.tracker_alive_until = int(time.time() + 150)
            table.put_ddb_item(job)


def picture(text: str, title: str, columns: int, theme: object, name: str) -> str:
    """Returns a terminal's text as SVG."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.rstrip()))
    svg = console.export_svg(title=title, theme=theme, unique_id=name)  # type: ignore[arg-type]
    return _FONTS.sub("", svg).replace(
        "font-family: Fira Code, monospace", "font-family: monospace"
    )


def main(folder: Path, columns: int, theme: object) -> None:
    """Takes all pictures."""
    with EmbeddedDynamoDB() as dynamodb:
        os.environ.update(dynamodb.environment, RAYTRACKER_TABLE="ImageJobs")
        table = JobTable("ImageJobs")
        table.create()
        for name, args in SHOTS.items():
            forty.fill(table)
            stop = threading.Event()
            runs = threading.Thread(target=get_on, args=(table, stop))
            if name == "watch":
                runs.start()
            text = typed(args, columns, WATCH_SECONDS if name == "watch" else 60)
            stop.set()
            if name == "watch":
                runs.join()
            title = " ".join(("raytracker", *args[:3], *(["..."] if len(args) > 3 else [])))
            svg = picture(text, title, columns, theme, f"terminal-{name}")
            (folder / f"terminal-{name}.svg").write_text(svg)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER,
        int(sys.argv[2]) if len(sys.argv) > 2 else 100,
        DEFAULT_TERMINAL_THEME if sys.argv[3:] == ["light"] else SVG_EXPORT_THEME,
    )
