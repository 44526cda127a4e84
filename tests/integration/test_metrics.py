"""Ray's Prometheus port shows what becomes of images, and the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from raytracker import JobItem
from raytracker.events import FlushFailed
from raytracker.metrics import ImageMetrics
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana.json"
SAMPLE = re.compile(r"^(ray_raytracker_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def scraped() -> dict[str, Counter[str]]:
    """Returns the values of our metrics on this node, by name and the label that is ours."""
    [node] = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError):  # the agent has not begun
        return {}
    found: dict[str, Counter[str]] = {}
    for name, labels, value in SAMPLE.findall(text):
        ours = re.search(r'(?:outcome|status)="(\w+)"', labels)
        found.setdefault(name, Counter())[ours[1] if ours else ""] += float(value)
    return found


def fails_once(pixels: object, tile: object) -> None:
    if tile.region == 0:  # type: ignore[attr-defined]
        raise ValueError("clouds")


def asked_for() -> set[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    text = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    return set(re.findall(r"ray_raytracker_\w+", text))


def test_prometheus_sees_what_the_dashboard_asks_for(run: Callable[..., JobItem]) -> None:
    """Of an image of four regions, of which one fails; others may have run before."""
    before = scraped()
    job = run(fails_once)
    assert (job.region_success, job.region_error) == (3, 1)
    ImageMetrics()(FlushFailed("scene", "run", 0, "as no table of this test fails"))

    def risen(name: str, label: str = "") -> float:
        return scraped().get(name, Counter())[label] - before.get(name, Counter())[label]

    wait_until(lambda: asked_for() <= scraped().keys(), 60)
    wait_until(lambda: risen("ray_raytracker_images_total", "PARTIAL") == 1, 60)
    assert risen("ray_raytracker_regions_total", "success") >= 3
    assert risen("ray_raytracker_regions_total", "error") >= 1
    assert risen("ray_raytracker_flush_seconds_count") >= 1
    assert risen("ray_raytracker_wcu_total") >= 1
    assert risen("ray_raytracker_reports_total") >= 1
    wait_until(lambda: risen("ray_raytracker_flush_failures_total") >= 1, 60)
    busy = risen("ray_raytracker_busy_seconds_total")
    assert 0 < busy < risen("ray_raytracker_worker_seconds_total")
