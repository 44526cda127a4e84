"""OSML's own status monitors, in a process of their own: python osml_monitor.py JSON."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

from tests.support.osml import CACHE, NEEDED, ROOT, OSMLMissing, Stubs


def tell_as_osml(what: dict[str, Any]) -> None:
    """Has OSML's monitors send what OSML sends of an image, from its start to its end.

    Args:
        what: `topics`, of the image and of the regions; `job`, attributes of OSML's JobItem at the
            end; and `regions`, attributes of its RegionRequestItem.

    Raises:
        OSMLMissing: It is not in the cache.
    """
    if not (CACHE / "osml_model_runner-2.3.0.dist-info").exists():
        raise OSMLMissing("OSML Model Runner 2.3.0 is not here: run `make osml`")
    environment = {**dict.fromkeys(NEEDED, "1"), **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(CACHE)])
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(what)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _tell(topics: list[str], job: dict[str, Any], regions: list[dict[str, Any]]) -> None:
    # As its ImageRequestHandler and RegionRequestHandler call them.
    database = importlib.import_module("aws.osml.model_runner.database")
    requests = importlib.import_module("aws.osml.model_runner.database.region_request_table")
    status = importlib.import_module("aws.osml.model_runner.status")
    common = importlib.import_module("aws.osml.model_runner.common")
    image, region = status.ImageStatusMonitor(topics[0]), status.RegionStatusMonitor(topics[1])
    at_first = database.JobItem(**{**job, "processing_duration": 0})
    states = common.RequestStatus
    image.process_event(at_first, states.STARTED, "Started image request")
    image.process_event(at_first, states.IN_PROGRESS, "Processing regions")
    for attributes in regions:
        item = requests.RegionRequestItem(**attributes)
        region.process_event(item, region.get_status(item), "Completed region processing")
    item = database.JobItem(**job)
    image.process_event(item, image.get_status(item), "Completed image processing")


if __name__ == "__main__":
    sys.meta_path.append(Stubs())
    _tell(**json.loads(sys.argv[1]))
