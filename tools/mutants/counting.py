"""What breaks the count itself: the ledger, the protocol, and what a process holds."""

from __future__ import annotations

from mutation import Mutation

MODEL = "tests/unit/test_protocol_model.py"
COORDINATOR = "tests/unit/test_coordinator.py"
ENDING = "tests/unit/test_ending.py"
TAKEOVER = "tests/unit/test_takeover.py"
MAPPED = "tests/integration/test_mapping_outcomes.py::test_the_driver_"
HOLDS = (f"{MAPPED}holds_what_the_actor_knows_until_it_is_durable",)
REPORTS = (f"{MAPPED}reports_what_a_worker_could_not_send",)
RUNS = "job_table/runs.py"
FENCE = '"#tracker_owner = :me AND #tracker_seq <= :tracker_seq"'
CLAIMED = 'f"#tracker_run = :run AND {_same_owner(read, values)}"'
CLAIM_READ = "self._check_run(image_id, run, None if read is None else read.tracker_run)"
PROTOCOL = (MODEL, COORDINATOR, TAKEOVER)

MUTATIONS = [
    Mutation(
        "unfenced flush",
        ((RUNS, FENCE, '"attribute_exists(#tracker_owner)"'),),
        PROTOCOL,
    ),
    Mutation(
        "no tracker_seq in the flush's condition",
        ((RUNS, FENCE, '"#tracker_owner = :me"'),),
        PROTOCOL,
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
        PROTOCOL,
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
        PROTOCOL,
    ),
    Mutation(
        "durable covers what came during the flush",
        (("actor/coordinator.py", "self._durable = mark", "self._durable = self._received"),),
        PROTOCOL,
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
        PROTOCOL,
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
        "an actor that does not wake to renew an item",
        (
            (
                "actor/coordinator.py",
                "times = [self._pacing.renewal, ",
                "times = [",
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
                "self._run.report(spans, reasons, classes, wait=False)",
                "known = self._run.ledger().tile_outcomes()\n"
                "                self._run.report([s for s in spans if not known[s[0]]], reasons)",
            ),
        ),
        HOLDS,
    ),
    Mutation(
        "a driver that does not report what tasks told",
        (
            (
                "mapping/task.py",
                "[*its_spans, (first, untold)]",
                "[(first, untold)]",
            ),
        ),
        REPORTS,
    ),
    Mutation(
        "a claim that ignores the run",
        (
            (RUNS, CLAIM_READ, "pass"),
            (RUNS, CLAIMED, "_same_owner(read, values)"),
        ),
        PROTOCOL,
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
        PROTOCOL,
    ),
    Mutation(
        "a claim that ignores who owns the image now",
        ((RUNS, CLAIMED, '"#tracker_run = :run"'),),
        PROTOCOL,
    ),
    Mutation(
        "a claim that is made twice",
        ((RUNS, "if read.tracker_owner == owner:", "if False:"),),
        PROTOCOL,
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
        PROTOCOL,
    ),
    Mutation(
        "a resume that leaves the owner",
        ((RUNS, "tracker_owner=None,\n", "\n"),),
        PROTOCOL,
    ),
    Mutation(
        "a redrive that overlooks a flush in between",
        ((RUNS, 'condition += " AND #tracker_seq = :tracker_seq"', "pass"),),
        PROTOCOL,
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
        "a class that replaces another, told later",
        (("ledger/classes.py", "not known or name < self._names[known]", "True"),),
        ("tests/unit/test_classes.py",),
    ),
    Mutation(
        "classes that are taken for those of another ledger",
        (("ledger/classes.py", "zlib.crc32(body, zlib.crc32(tiles))", "zlib.crc32(body)"),),
        ("tests/unit/test_classes.py",),
    ),
    Mutation(
        "classes that nobody tells the next owner",
        (("reporter/held.py", "self._unsent_classes = self._classes.copy()", "pass"),),
        ("tests/unit/test_held.py",),
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
