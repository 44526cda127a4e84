"""What breaks what is around the count: how Ray ends things, what AWS refuses, what people pass."""

from __future__ import annotations

from mutation import Mutation

ENDING = ("tests/unit/test_ending.py",)
TENTATIVES = ("tests/unit/test_tentatives.py",)
PACING = ("tests/unit/test_pacing.py",)
TROUBLE = ("tests/unit/test_trouble.py",)
CLIENTS = ("tests/unit/test_ddb_clients.py",)
SETTINGS = ("tests/unit/test_ddb_settings.py",)
TAKING = ("tests/unit/test_taking.py",)
PARSER = ("tests/unit/test_osml_parser.py",)
ENVIRONMENTS = (
    "tests/integration/test_environments.py"
    "::test_a_job_that_is_submitted_again_with_its_environment_mended_runs",
)
PLACEMENT = "tests/integration/test_placement.py"
RECEIPTS = ("tests/unit/test_receipts.py",)
REASONS = ("tests/unit/test_reports.py",)
POLICY = ("tests/unit/test_policy.py",)
CREATION = ("tests/unit/test_table_creation.py",)
FORMS = "tests/integration/test_forms.py"
FORKS = ("tests/integration/test_forks.py::test_a_fork_of_a_driver_is_refused",)
ATTEMPTS = (
    "tests/integration/test_attempts.py::test_an_attempt_that_is_repeated_has_said_nothing",
)
WORKERS = ("tests/unit/test_workers.py",)
DISPATCH = ("tests/unit/test_dispatch.py",)
OUTCOMES = "tests/integration/test_mapping_outcomes.py"
DRAWING = "tests/integration/test_mapping_pacing.py"
IN_TASKS = ("tests/integration/test_mapping_in_tasks.py::test_a_task_for_each_image",)
STALLS = "tests/integration/test_waiting.py"
ORDERLY = "tests/integration/test_orderly_ends.py"

MUTATIONS = [
    # --- what a process told, and how Ray ends it ---
    Mutation(
        "a report that never waits for a receipt",
        (
            (
                "reporter/receipts.py",
                "return worth_it and not self._timed_out",
                "return False",
            ),
        ),
        (f"{FORMS}::test_a_worker_killed_after_a_tile_loses_nothing",),
    ),
    Mutation(
        "a worker that ends, and leaves its reports to a thread",
        (("reporter/receipts.py", "if ends or is_error:", "if is_error:"),),
        (f"{FORMS}::test_many_reports_of_a_task_that_ends",),
    ),
    Mutation(
        "a fork that believes it is connected",
        (("ray_runtime/connection.py", "if _forked_from is not None:", "if False:"),),
        FORKS,
    ),
    Mutation(
        "reports that wait for an answer from a cluster that has gone",
        (
            (
                "reporter/actors.py",
                "self._handles.clear()\n            return True",
                "self._handles.clear()\n            return False",
            ),
        ),
        (f"{ORDERLY}::test_what_was_under_way_goes_by_the_next_connection",),
    ),
    Mutation(
        "a reason that is anything",
        (
            (
                "run/reports.py",
                "if isinstance(reason, BaseException):\n        return reason_of(reason)",
                "if True:\n        return reason",
            ),
        ),
        REASONS,
    ),
    # --- work that is mapped ---
    Mutation(
        "a map in a task that waits where Ray cannot see it",
        (("mapping/mapper.py", "self._pumped = in_worker()", "self._pumped = False"),),
        IN_TASKS,
    ),
    Mutation(
        "a task's return that is told as a success",
        (
            (
                "mapping/task.py",
                "untold(first, RETURNED * count)",
                'untold(first, b"\\2" * count)',
            ),
        ),
        (f"{OUTCOMES}::test_an_error_of_a_nested_task_outranks_the_return",),
    ),
    Mutation(
        "a generator for a result",
        (("mapping/task.py", "check_result(result)", "pass"),),
        (f"{OUTCOMES}::test_a_result_that_is_none_is_an_error",),
    ),
    Mutation(
        "an attempt that is repeated, and has said something",
        (("mapping/task.py", "if not retries.are_over(err, attempt_number()):", "if False:"),),
        (OUTCOMES,),
    ),
    Mutation(
        "a worker that lets go of what its driver does not get",
        (("mapping/task.py", "tell(this.successes(), held_elsewhere=False)", "pass"),),
        (OUTCOMES,),
    ),
    Mutation(
        "an iterator that holds back what has finished",
        (
            ("mapping/mapper.py", "(engine.feed, _Taker(engine).run)", "(_Taker(engine).run,)"),
            ("mapping/mapper.py", "if self._engine.take(", "if self._engine.pump("),
        ),
        (f"{DRAWING}::test_a_blocked_iterator_holds_no_result_back",),
    ),
    Mutation(
        "a worker's error that is put aside",
        (("reporter/receipts.py", "if ends or is_error:", "if ends:"),),
        ("tests/unit/test_receipts.py",),
    ),
    Mutation(
        "an image that ends while an error may be final",
        (("actor/ending.py", "if not self.by_itself or self.is_open:", "if not self.by_itself:"),),
        ("tests/unit/test_tentatives.py",),
    ),
    Mutation(
        "a death that is its whole chunk's",
        (("mapping/dispatch.py", "elif len(chunk.tiles) > 1:", "elif False:"),),
        DISPATCH,
    ),
    Mutation(
        "a tile that is to blame for its node",
        (("mapping/dispatch.py", "if loss is Loss.NODE and", "if False and"),),
        DISPATCH,
    ),
    Mutation(
        "a failure that takes its mates along",
        (("mapping/dispatch.py", "if tile not in reasons]", "if not reasons]"),),
        DISPATCH,
    ),
    Mutation(
        "a tile that is tried for ever",
        (
            (
                "mapping/dispatch.py",
                "if failures > self.retries:",
                "if failures > 10 * self.retries:",
            ),
        ),
        DISPATCH,
    ),
    Mutation(
        "a death that counts for who may not have been alone",
        (
            (
                "mapping/dispatch.py",
                "        elif not chunk.is_suspect:\n            self._queue(replace",
                "        elif False:\n            self._queue(replace",
            ),
        ),
        DISPATCH,
    ),
    Mutation(
        "a suspect that is not alone in its worker",
        (
            (
                "mapping/workers.py",
                "and not any(place.is_alone for place in member.places)",
                "and True",
            ),
        ),
        WORKERS,
    ),
    Mutation(
        "an image that takes all workers",
        (("mapping/workers.py", "and other.under_way < image.under_way", "and False"),),
        WORKERS,
    ),
    Mutation(
        "a batch that fails with its mates",
        (
            (
                "pipeline/worker.py",
                "            if len(entries) == 1:\n                return [err]",
                "            return [err] * len(entries)",
            ),
        ),
        ("tests/unit/test_batches.py",),
    ),
    Mutation(
        "a thread that uses Ray while it goes",
        (
            ("mapping/engine.py", "with holding_connection():", "with suppress():"),
            ("mapping/engine.py", "Waited() if in_worker() else Called()", "Waited()"),
        ),
        ("tests/integration/test_orderly_ends.py::test_a_shutdown_of_ray_under_a_map",),
    ),
    Mutation(
        "a bound that is asked for once",
        (("mapping/policy.py", "self._clock() - self._asked_at >= ASK_SECONDS", "False"),),
        POLICY,
    ),
    Mutation(
        "a stall that is told by what Ray shows",
        (("run/waiting.py", "if self._timeout is None and not runs.nothing:", "if False:"),),
        (f"{STALLS}::test_a_busy_actor_without_cpus_is_no_stall",),
    ),
    Mutation(
        "an image that ends though its driver is to end it",
        (
            (
                "actor/ending.py",
                "self.by_itself = job.tracker_ends is not False",
                "self.by_itself = True",
            ),
        ),
        ENDING,
    ),
    # --- what was told, and what is concluded ---
    Mutation(
        "a ledger that is open after the end",
        (
            (
                "actor/coordinator.py",
                "if self._ending.closed:\n            return ended_late",
                "if False:\n            return ended_late",
            ),
        ),
        ENDING,
    ),
    Mutation(
        "an error told at once that another attempt may better",
        (
            (
                "actor/coordinator.py",
                "for error in batch.tentative:\n            self._tentatives.add(error)",
                "for error in batch.tentative:\n"
                "            self._received += 1\n"
                "            ledger.merge([(error.first, ERROR * error.count)], {})",
            ),
        ),
        TENTATIVES,
    ),
    Mutation(
        "an error of an attempt, told without asking Ray",
        (("telling.py", "running = running_attempt()", "running = None"),),
        ATTEMPTS,
    ),
    Mutation(
        "an attempt's errors that outlive a later attempt",
        (("actor/tentatives.py", "if error.attempt > attempt:", "if attempt < 0:"),),
        TENTATIVES,
    ),
    Mutation(
        "what only the actor holds, flushed with the rest of a long job",
        (("actor/pacing.py", "if not sole:", "if True:"),),
        PACING,
    ),
    # --- the world that the actor sees ---
    Mutation(
        "a client that outlives its credentials",
        (("ddb/connection.py", "clients.drop()", "pass"),),
        CLIENTS,
    ),
    Mutation(
        "credentials that are tried again as slowly as rights",
        (("actor/trouble.py", "if isinstance(error, CredentialsRefused):", "if False:"),),
        TROUBLE,
    ),
    Mutation(
        "an actor that a new run finds by its image",
        (("actor/spec.py", "/{self.image_id}/{self.run}", "/{self.image_id}"),),
        ENVIRONMENTS,
    ),
    Mutation(
        "a pool that is one for all environments",
        (("actor/spec.py", '{__version__} {runtime_environment()}"', '{__version__}"'),),
        ENVIRONMENTS,
    ),
    Mutation(
        "an actor that holds a part of the head node",
        (
            (
                "actor/finding.py",
                "scheduling_strategy=where,",
                'scheduling_strategy=where,\n            resources={"node:__internal_head__": 1},',
            ),
        ),
        (f"{PLACEMENT}::test_no_resource_limits_the_images",),
    ),
    Mutation(
        "an actor that is caught in a placement group",
        (("actor/finding.py", "scheduling_strategy=where,", ""),),
        (f"{PLACEMENT}::test_an_image_outlives_the_placement_group_it_was_started_in",),
    ),
    # --- the table ---
    Mutation(
        "a table that is away, and no error names it",
        (
            (
                "actor/trouble.py",
                'return TableUnavailable(self._text("its table is not reached", error))',
                "return None",
            ),
        ),
        TROUBLE,
    ),
    Mutation(
        "an endpoint that each node finds for itself",
        (
            (
                "ddb/connection.py",
                "table.region_name, table.endpoint_url = found.region_name, found.endpoint_url",
                "table.region_name = found.region_name",
            ),
        ),
        SETTINGS,
    ),
    Mutation(
        "two spellings of an endpoint that are two tables",
        (("ddb/connection.py", "_normal(self.endpoint_url), self", "self.endpoint_url, self"),),
        SETTINGS,
    ),
    Mutation(
        "an item that expires under its tracker",
        (
            (
                "actor/pacing.py",
                "return None if self._keep_for is None else",
                "return None if True else",
            ),
        ),
        PACING,
    ),
    Mutation(
        "a resume that overlooks a sign of life",
        (("job_table/runs.py", "condition += silent_since(read, update.names, values)", "pass"),),
        TAKING,
    ),
    Mutation(
        "a live run that anybody takes over",
        (("run/taking.py", "if take_over or _is_free(item):", "if True:"),),
        TAKING,
    ),
    Mutation(
        "a run that is heard from, and does not say so",
        (
            (
                "actor/signs.py",
                "return last + SIGN_SECONDS if self._heard_at > last else None",
                "return None",
            ),
        ),
        ("tests/unit/test_coordinator.py",),
    ),
    Mutation(
        "tiles that are blamed for a GPU that is of no more use",
        (("pipeline/worker.py", "if is_spoiled(err):", "if False:"),),
        ("tests/unit/test_batches.py",),
    ),
    Mutation(
        "an image that ends before its output is there",
        (("pipeline/process.py", "ends=store is None,", "ends=True,"),),
        ("tests/integration/test_delivery.py::test_a_file_that_cannot_be_written_at_the_end",),
    ),
    Mutation(
        "a table that is there, and changed",
        (("job_table/creation.py", "if made or set_ttl:", "if True:"),),
        CREATION,
    ),
    Mutation(
        "a ledger that is Binary",
        (
            (
                "job_table/ledger_text.py",
                'return b64encode(encoded).decode("ascii")',
                "return encoded",
            ),
        ),
        PARSER,
    ),
    Mutation(
        "reading that believes botocore's parser",
        (("ddb/answers.py", 'if name == "B" and isinstance(value, str):', "if False:"),),
        PARSER,
    ),
]
