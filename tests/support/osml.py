"""OSML Model Runner 2.3.0, its own code, in a process of its own; what it needs beside is stubs.

Run as a program it asks OSML, and then raytracker in the same process, about an image:
    python osml.py TABLE IMAGE_ID
It prints one JSON object. boto3 finds DynamoDB in the environment.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "osml-2.3.0"
# What OSML imports and the test environment does not have; nothing of it has a part in the job
# table. dacite, which has, is downloaded with OSML.
STUBBED = (
    "aws.osml.features",
    "aws.osml.gdal",
    "aws.osml.image_processing",
    "aws.osml.photogrammetry",
    "aws_embedded_metrics",
    "cachetools",
    "ensemble_boxes",
    "geojson",
    "osgeo",
)
NEEDED = ("AWS_DEFAULT_REGION", "JOB_TABLE", "REGION_REQUEST_TABLE", "ENDPOINT_TABLE")
NEEDED += ("FEATURE_TABLE", "IMAGE_QUEUE", "REGION_QUEUE", "WORKERS_PER_CPU", "WORKERS")


class OSMLMissing(Exception):
    """OSML is not here; the text says how to get it."""


def ask_osml(image_id: str, table: str, endpoint_url: str, region: str) -> dict[str, Any]:
    """Returns what OSML says of an image, and raytracker in the same process.

    Raises:
        OSMLMissing: It is not in the cache.
    """
    if not (CACHE / "osml_model_runner-2.3.0.dist-info").exists():
        raise OSMLMissing("OSML Model Runner 2.3.0 is not here: run `make osml`")
    environment = {**os.environ, **dict.fromkeys(NEEDED, "1")}
    environment |= {"AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(CACHE)])
    answer = subprocess.run(
        [sys.executable, __file__, table, image_id],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    said: dict[str, Any] = json.loads(answer.stdout)
    return said


class Anything(type):
    """A class that has every attribute, can be called, and be a decorator or a base."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub


class Stub(metaclass=Anything):
    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __call__(self, *args: object, **options: object) -> Stub:
        return self


class StubModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(Stub, name)

    def __call__(self, *args: object) -> Stub:  # a package's function of a submodule's name
        return Stub()


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a module full of stubs for each one that is not there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(name == stub or name.startswith(f"{stub}.") for stub in STUBBED):
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StubModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def of_osml(table: str, image_id: str) -> dict[str, Any]:
    """Reads an image with OSML's code; `error` is the exception where it can't."""
    sys.meta_path.append(Stubs())
    database = importlib.import_module("aws.osml.model_runner.database")
    status = importlib.import_module("aws.osml.model_runner.status")
    try:
        item = database.JobTable(table).get_image_request(image_id)
    except database.GetImageRequestItemException as err:
        return {"error": repr(err.__cause__)}
    return {
        "attributes": item.to_put(),
        "complete": database.JobTable.is_image_request_complete(item),
        "status": status.ImageStatusMonitor.get_status(None, item).value,
    }


def of_ours(table: str, image_id: str) -> dict[str, Any]:
    """Reads an image, and resumes it, where OSML is imported."""
    from botocore.parsers import PROTOCOL_PARSERS

    from raytracker.job_table import JobTable, ledger_of

    jobs = JobTable(table)
    read = jobs.get_image_request(image_id)
    seen = {"status": read.status, "tiles": list(ledger_of(read).tile_outcomes())}
    jobs.resume(read, "by-osml", redrive=True)
    claimed = jobs.claim(image_id, "by-osml", "me")
    seen["redriven"] = list(ledger_of(claimed).tile_outcomes())
    seen["parser"] = PROTOCOL_PARSERS["json"]._handle_json_body.__module__
    return seen


if __name__ == "__main__":
    print(json.dumps({"osml": of_osml(*sys.argv[1:]), "ours": of_ours(*sys.argv[1:])}))
