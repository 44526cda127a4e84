"""Runs the parts of the test suite, each in its environment, and says how many tests each ran.

Usage: run_tests.py [unit] [integration] [chaos] [localmode]    (no name: all parts)

The unit tests run beside chaos, which mostly waits, and what comes after it, a little nicer than
these; what they print comes last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
PARTS = {
    "unit": (".venv", "make venv", ["tests/unit", "tests/house"]),
    "integration": (".venv", "make venv", ["tests/integration", "tests/examples"]),
    "chaos": (".venv", "make venv", ["tests/chaos"]),
    "localmode": (".venv-localmode", "make venv-localmode", ["tests/local_mode"]),
}


class Count(NamedTuple):
    """How the tests of a part ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run(name: str, output: IO[str] | None = None, *before: str) -> Count:
    """Runs one part; a part that ends badly without a failed test counts as one failed.

    Args:
        name: The part.
        output: Where to print; None: as this process does.
        before: What stands before the command.
    """
    environment, cure, folders = PARTS[name]
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        print(f"{name}: {environment} is not here: run `{cure}`", file=output)
        return Count(failed=1)
    report = ROOT / ".cache" / "junit" / f"{name}.xml"
    report.unlink(missing_ok=True)
    print(f"--- {name}: {' '.join(folders)}", file=output, flush=True)
    command = [*before, str(python), "-m", "pytest", "-q", f"--junitxml={report}", *folders]
    # Hundreds of processes import raytracker; without bytecode each would compile it.
    env = {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}
    ended = subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=output, stderr=output)
    status = ended.returncode
    count = read(report)
    if status:
        print(f"{name}: pytest ended with status {status}", file=output, flush=True)
    if (status or not count.passed) and not count.failed:
        return count._replace(failed=1)
    return count


def run_all(names: list[str]) -> dict[str, Count]:
    """Runs parts one after the other, but the unit tests beside chaos and what comes after it."""
    if "unit" not in names or "chaos" not in names:
        return {name: run(name) for name in names}
    counts = {}
    with ThreadPoolExecutor(1) as beside, tempfile.TemporaryFile("w+") as output:
        for name in names:
            if name == "chaos":
                unit = beside.submit(run, "unit", output, "nice", "-n", "5")
            if name != "unit":
                counts[name] = run(name)
        counts["unit"] = unit.result()
        output.seek(0)
        print(output.read(), end="", flush=True)
    return counts


def read(report: Path) -> Count:
    """Returns the count that a JUnit report tells; all zero without a report."""
    if not report.exists():
        return Count()
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    return Count(max(0, tests - failures - errors - skipped), failures + errors, skipped)


def main(names: list[str]) -> int:
    """Runs the parts named, or all; the last lines are the counts."""
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    counts = run_all(names or list(PARTS))
    print()
    for name, count in counts.items():
        print(f"{name}: {count}")
    total = Count(*map(sum, zip(*counts.values(), strict=True)))
    print(f"all: {total}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
