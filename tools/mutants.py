"""Breaks what the guarantee rests on, one thing at a time, and shows which test notices.

Each mutation is made in a copy of the tree. Exit status 1 if one goes unnoticed.

    make mutants
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODEL = "tests/unit/test_protocol_model.py"
COORDINATOR = "tests/unit/test_coordinator.py"
ENDING = "tests/unit/test_ending.py"
TAKEOVER = "tests/unit/test_takeover.py"
MAPPED = "tests/integration/test_mapping_outcomes.py"
TOLD_BY_DRIVER = "self._run.report(spans, reasons, wait=False)"
RUNS = "job_table/runs.py"
FENCE = '"#tracker_owner = :me AND #tracker_seq <= :tracker_seq"'
CLAIMED = '"#tracker_run = :run AND #tracker_owner = :read"'
CLAIM_READ = "self._check_run(image_id, run, None if read is None else read.tracker_run)"


@dataclass(frozen=True)
class Mutation:
    """One thing broken: in each of the files, the first text becomes the second."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...] = (MODEL, COORDINATOR, TAKEOVER, ENDING)


MUTATIONS = [
    Mutation(
        "unfenced flush",
        ((RUNS, FENCE, '"attribute_exists(#tracker_owner)"'),),
    ),
    Mutation(
        "no tracker_seq in the flush's condition",
        ((RUNS, FENCE, '"#tracker_owner = :me"'),),
    ),
    Mutation(
        "increments instead of absolute values",
        (
            (
                "job_table/update.py",
                'f"#{name} = :{name}"',
                'f"#{name} = " + f"#{name} + " * (name == "region_success") + f":{name}"',
            ),
            (RUNS, "region_success=what.region_success", "region_success=1"),
        ),
    ),
    Mutation(
        "a reporter that forgets when the owner changes",
        (("reporter/held.py", "if self.owner not in (None, ack.owner):", "if False:"),),
        (MODEL,),
    ),
    Mutation(
        "durable moved before the acknowledgement",
        (
            (
                "actor/coordinator.py",
                "mark = self._received",
                "mark = self._durable = self._received",
            ),
        ),
    ),
    Mutation(
        "durable covers what came during the flush",
        (("actor/coordinator.py", "self._durable = mark", "self._durable = self._received"),),
    ),
    Mutation(
        "what came before the claim taken for durable",
        (
            (
                "actor/coordinator.py",
                "self._durable = 0 if self._received > before else",
                "self._durable = 1 if self._received > before else",
            ),
        ),
    ),
    Mutation(
        "a late report that changes an ended image",
        (
            (
                "actor/coordinator.py",
                "if self._ending.closed:\n            return ended",
                "if False:\n            return ended",
            ),
        ),
        (MODEL, ENDING),
    ),
    Mutation(
        "an end that closes the ledger once it is acknowledged",
        (
            (
                "actor/coordinator.py",
                "if self._ending.closed:\n            return ended",
                "if self._ending.durable:\n            return ended",
            ),
        ),
        (MODEL, ENDING),
    ),
    Mutation(
        "late news let go before the end is durable",
        (
            (
                "actor/coordinator.py",
                "self._received += 1  # what comes late",
                "pass  # what comes late",
            ),
        ),
        (MODEL, ENDING),
    ),
    Mutation(
        "late news from before the claim let go untold",
        (("actor/coordinator.py", "if any(late):", "if False:"),),
        (ENDING,),
    ),
    Mutation(
        "an image that ends though it is to be told",
        (("actor/ending.py", "job.tracker_ends is not False", "True"),),
        (ENDING,),
    ),
    Mutation(
        "what only the actor holds waits like the rest",
        (("actor/coordinator.py", "sole=self._sole > self._durable", "sole=False"),),
        ("tests/unit/test_pacing.py",),
    ),
    Mutation(
        "an item that expires under its tracker",
        (
            (
                "actor/coordinator.py",
                "times = [self._pacing.renewal]",
                "times: list[float | None] = []",
            ),
        ),
        ("tests/unit/test_pacing.py",),
    ),
    Mutation(
        "an earlier attempt's error that counts",
        (("actor/tentatives.py", "(None,))[0] != attempt", "(None,))[0] is None"),),
        ("tests/unit/test_tentatives.py",),
    ),
    Mutation(
        "a table that is away, and nobody says so",
        (("actor/trouble.py", "- self._since < UNREACHABLE_SECONDS", "- self._since < 1e9"),),
        ("tests/unit/test_trouble.py",),
    ),
    Mutation(
        "a driver that reports only what is pending",
        (
            (
                "mapping/engine.py",
                TOLD_BY_DRIVER,
                "known = self._run.ledger().tile_outcomes()\n"
                "        self._run.report([s for s in spans if not known[s[0]]], reasons)",
            ),
        ),
        (MAPPED,),
    ),
    Mutation(
        "a driver that does not report what tasks told",
        (("mapping/engine.py", "[*its_spans, (first, untold)]", "[(first, untold)]"),),
        (MAPPED,),
    ),
    Mutation(
        "a task's return that outranks what was told",
        (("mapping/engine.py", "RETURNED * count", "bytes([2]) * count"),),
        (MAPPED,),
    ),
    Mutation(
        "an attempt that is repeated, and has said something",
        (("mapping/task.py", "if not retries.are_over(err, attempt_number()):", "if False:"),),
        (MAPPED,),
    ),
    Mutation(
        "a worker that lets go of what its driver does not get",
        (("mapping/task.py", "tell(this.successes(), held_elsewhere=False)", "pass"),),
        (MAPPED,),
    ),
    Mutation(
        "a claim that ignores the run",
        (
            (RUNS, CLAIM_READ, "pass"),
            (
                RUNS,
                '"#tracker_run = :run AND attribute_not_exists(#tracker_owner)"',
                '"attribute_not_exists(#tracker_owner)"',
            ),
            (RUNS, CLAIMED, '"#tracker_owner = :read"'),
        ),
    ),
    Mutation(
        "a superseded process that claims again",
        (
            (
                "actor/coordinator.py",
                "except (JobVanished, TrackerSuperseded, LedgerError) as err:",
                "except TrackerSuperseded:\n"
                "            self.run = self._table.read(self.image_id).tracker_run\n"
                "            self._ledger = None\n"
                "        except (JobVanished, LedgerError) as err:",
            ),
        ),
    ),
    Mutation(
        "a claim that ignores who owns the image now",
        ((RUNS, CLAIMED, '"#tracker_run = :run"'),),
    ),
    Mutation(
        "a claim that is made twice",
        ((RUNS, "if read.tracker_owner == owner:", "if False:"),),
    ),
    Mutation(
        "a start that is written over itself",
        (
            (
                "run/beginning.py",
                "return found is not None and found.tracker_run == run",
                "return False",
            ),
        ),
        ("tests/unit/test_beginning.py",),
    ),
    Mutation(
        "one owner for all runs of a process",
        (("actor/coordinator.py", "self.owner = uuid.uuid4().hex", 'self.owner = "process"'),),
    ),
    Mutation(
        "a resume that leaves the owner",
        ((RUNS, "tracker_owner=None,\n", "\n"),),
    ),
    Mutation(
        "a redrive that overlooks a flush in between",
        ((RUNS, 'condition += " AND #tracker_seq = :tracker_seq"', "pass"),),
    ),
    Mutation(
        "an error that replaces a success",
        (
            (
                "ledger/outcomes.py",
                "_JOIN = _table(lambda known, new: new if RANK[new] > RANK[known] else known)",
                "_JOIN = _table(lambda known, new: new or known)",
            ),
        ),
        ("tests/unit/test_ledger.py",),
    ),
    Mutation(
        "a task's return that outranks an error told",
        (("ledger/outcomes.py", "RANK = bytes([0, 2, 3, 1])", "RANK = bytes([0, 1, 2, 3])"),),
        ("tests/unit/test_ledger.py",),
    ),
    Mutation(
        "a reporter that lets go of more than is durable",
        (
            (
                "ledger/outcomes.py",
                "held if RANK[held] > RANK[settled] else 0)",
                "0 if settled else held)",
            ),
        ),
        ("tests/unit/test_outcomes.py",),
    ),
    Mutation(
        "a reporter that forgets what a signal interrupted",
        (("reporter/held.py", "self._all_is_unsent()\n            raise", "raise"),),
        ("tests/unit/test_held.py",),
    ),
    Mutation(
        "an actor that leaves when one of its images moves",
        (("actor/host.py", "if all(coordinator.moved", "if any(coordinator.moved"),),
        ("tests/unit/test_image_actor.py",),
    ),
    Mutation(
        "an actor that forgets what is not durable",
        (("actor/host.py", "if coordinator.finished and now", "if now"),),
        ("tests/unit/test_image_actor.py",),
    ),
    Mutation(
        "a schedule that goes by times of before",
        (("actor/schedule.py", "if self._times.get(key) == due:", "if key in self._times:"),),
        ("tests/unit/test_schedule.py",),
    ),
    Mutation(
        "a run that is over, and goes on",
        (("run/run.py", "self.fail(over)", "pass"),),
        ("tests/integration/test_runs.py::test_who_was_told_that_a_run_is_over_may_not_go_on",),
    ),
]


def main() -> int:
    """Runs all mutations; returns the exit status."""
    everything = {tests: None for mutation in MUTATIONS for tests in mutation.tests}
    if failing := notice(Mutation("nothing", (), tuple(everything))):
        print(f"{failing} fails without a mutation: mend it first")
        return 1
    unnoticed = 0
    for mutation in MUTATIONS:
        caught = notice(mutation)
        unnoticed += caught is None
        print(f"{mutation.name:<50} {caught or 'NOT NOTICED'}", flush=True)
    print(f"mutants: {len(MUTATIONS)} mutations, {unnoticed} not noticed")
    return 1 if unnoticed else 0


def notice(mutation: Mutation) -> str | None:
    """Returns the test that fails with the mutation, or None."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("raytracker", "tests", "pyproject.toml"):
            source, target = ROOT / name, Path(folder, name)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        if (ROOT / ".cache").exists():
            Path(folder, ".cache").symlink_to(ROOT / ".cache")
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
    sys.exit(main())
