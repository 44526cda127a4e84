"""Which files an image's outputs have; known once they are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..ddb import ConditionFailed
from ..errors import TrackerSuperseded
from .table import JobTable


def note_outputs(
    table: JobTable, image_id: str, run: str, outputs: Sequence[Mapping[str, Any]]
) -> None:
    """Writes the `outputs` of an item that a run still has; safe to repeat.

    Args:
        table: The job table.
        image_id: The image.
        run: The run.
        outputs: All of them.

    Raises:
        TrackerSuperseded: The item belongs to another run, or is gone.
        TableUnavailable: DynamoDB did not answer.
        TableError: DynamoDB refuses.
    """
    try:
        table.conditional_update(
            {"image_id": image_id},
            "SET #outputs = :outputs",
            "#tracker_run = :run",
            {"#outputs": "outputs", "#tracker_run": "tracker_run"},
            {":outputs": json.dumps(list(outputs)), ":run": run},
            return_values="NONE",
        )
    except ConditionFailed as err:
        raise TrackerSuperseded(
            f"image {image_id!r} in table {table.table_name!r} is another run's, or gone; run "
            f"{run} has ended"
        ) from err
