"""A shell into which commands are typed one after the other, as a reader of the pages does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from types import TracebackType

MARK = "-- that was it --"
_DIFFERS = (
    (r"^(after \d+ s, |SUCCESS: ).*\n", ""),  # what stands in for a live line without a terminal
    (r"^.*(\(raylet\)|authentication).*\n", ""),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*( UTC)?", "TIME"),
    (r"127\.0\.0\.1:\d+|\(\w+; `exit`\)", "HERE"),
    (r"\b\d+\.\d+\.\d+\b|\(process \d+|^ok +cluster .*", "THIS"),
    (r"\b\d+ writes, \d+ WCU", "COST"),
    (r"(?<!\S)(\d+ (s|min|h)\b|\d+:\d\d:\d\d|\d+%)", "N"),
    (r" {2,}", "  "),  # columns are as wide as what differs
)


class Shell:
    """A shell of its own; what it and its commands print, on either stream, is read together."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            os.killpg(self._process.pid, signal.SIGKILL)  # what it runs holds the pipe, too
        self._process.communicate()

    def type(self, command: str) -> tuple[str, int]:
        """Types a command, and returns what is printed and its exit status.

        But for a shell, a command has nothing to read: one that asks ends, and waits for nobody.
        """
        keys, screen = self._process.stdin, self._process.stdout
        assert keys is not None
        assert screen is not None
        if command.strip() == "raytracker dev":
            # What is typed after it is for the shell that it opens, and not for this one to read.
            print(command.strip(), file=keys, flush=True)
            shown = screen.readline()
        else:
            print("{ " + command.rstrip("\n") + "\n} < /dev/null", file=keys, flush=True)
            shown = ""
        print(f"echo '{MARK}' $?", file=keys, flush=True)
        for line in screen:
            before, mark, status = line.partition(MARK)
            shown += before
            if mark:
                return shown, int(status)
        raise AssertionError(f"the shell ended with {command!r}: {shown}")


def steps(text: str) -> list[tuple[str, str]]:
    """Returns the commands of a session, and what it shows of each."""
    found = []
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        end = step.index("\nEND\n") + len("\nEND\n") if "<<'END'" in step else step.index("\n") + 1
        found.append((step[:end], step[end:]))
    return found


def lasting(text: str, *places: Path) -> str:
    """Returns what does not change from time to time, and from place to place.

    Args:
        text: What was printed.
        places: Folders that stand for the one in which the page has its reader work.
    """
    for place in places:
        text = text.replace(str(place), "/home/you/first")
    for pattern, instead in _DIFFERS:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text
