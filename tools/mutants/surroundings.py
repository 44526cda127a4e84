"""What breaks what is around the count: how Ray ends things, what AWS refuses, what people pass."""

from __future__ import annotations

from mutation import Mutation

ENDING = ("tests/unit/test_ending.py",)
TENTATIVES = ("tests/unit/test_tentatives.py",)
PACING = ("tests/unit/test_pacing.py",)
TROUBLE = ("tests/unit/test_trouble.py",)
CLIENTS = ("tests/unit/test_ddb_clients.py",)
SETTINGS = ("tests/unit/test_ddb_settings.py",)
PARSER = ("tests/unit/test_osml_parser.py",)
ENVIRONMENTS = ("tests/integration/test_environments.py",)
PLACEMENT = ("tests/integration/test_placement.py",)

MUTATIONS = [
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
        PLACEMENT,
    ),
    Mutation(
        "an actor that is caught in a placement group",
        (("actor/finding.py", "scheduling_strategy=where,", ""),),
        PLACEMENT,
    ),
    # --- the table ---
    Mutation(
        "a table that is away, and nobody says so",
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
