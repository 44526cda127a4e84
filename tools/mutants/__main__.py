"""Breaks what the guarantee rests on, one thing at a time, and shows which test notices.

Each mutation is made in a copy of the tree. Exit status 1 if one goes unnoticed.

    make mutants                        # all
    make mutants MUTANTS="fork receipt" # those in whose names these are
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import counting
import surroundings
import telling
from mutation import Mutation

ROOT = Path(__file__).parents[2]


def main(texts: Sequence[str]) -> int:
    """Runs mutations; returns the exit status.

    Args:
        texts: Those with one of these in their names; all if there is none.
    """
    everything = [*counting.MUTATIONS, *surroundings.MUTATIONS, *telling.MUTATIONS]
    mutations = [m for m in everything if not texts or any(text in m.name for text in texts)]
    tests = tuple({tests: None for mutation in mutations for tests in mutation.tests})
    if failing := notice(Mutation("nothing", (), tests)):
        print(f"{failing} fails without a mutation: mend it first")
        return 1
    unnoticed = 0
    for mutation in mutations:
        caught = notice(mutation)
        unnoticed += caught is None
        print(f"{mutation.name:<60} {caught or 'NOT NOTICED'}", flush=True)
    print(f"mutants: {len(mutations)} mutations, {unnoticed} not noticed")
    return 1 if unnoticed else 0


def notice(mutation: Mutation) -> str | None:
    """Returns the test that fails with the mutation, or None."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("raytracker", "tests", "pyproject.toml"):
            source, target = ROOT / name, Path(folder, name)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        for name in ("examples", ".cache"):
            if (ROOT / name).exists():
                Path(folder, name).symlink_to(ROOT / name)
        for name, old, new in mutation.changes:
            path = Path(folder, "raytracker", name)
            text = path.read_text()
            if text.count(old) != 1:
                raise SystemExit(f"{mutation.name}: {old!r} is {text.count(old)} times in {name}")
            path.write_text(text.replace(old, new))
        for tests in mutation.tests:
            profile = ["--hypothesis-profile", "first-failure"] if "unit" in tests else []
            pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
            run = subprocess.run(
                [*pytest, tests, *profile],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": folder},  # for Ray's workers
                capture_output=True,
                text=True,
                check=False,
            )
            if run.returncode == 1:
                found = re.search(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
                return found[1].replace("tests/", "") if found else tests
            if run.returncode:
                raise SystemExit(run.stdout + run.stderr)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
