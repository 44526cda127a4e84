"""How hypothesis searches; a store of results, in a folder and in S3; a folder with a detector."""

import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import Phase, settings

from raytracker.pipeline import ResultStore
from tests.support.moto_s3 import moto_s3

# No test is about time; machines are noisy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# For the mutants: that a failure was found is enough, the shortest is not looked for.
settings.register_profile("first-failure", deadline=None, phases=[Phase.generate])


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with moto_s3() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    """An empty place, made ready."""
    url = str(tmp_path / "out")
    if request.param == "s3":
        request.getfixturevalue("s3_endpoint")
        bucket = f"b-{tmp_path.name[:50]}".replace("_", "-").lower().rstrip("-")
        boto3.client("s3").create_bucket(Bucket=bucket)
        url = f"s3://{bucket}/some/prefix/"
    store = ResultStore(url)
    store._place.prepare("tiles")
    return store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a detector in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "detector", raising=False)
    (tmp_path / "detector.py").write_text("def detect(pixels, tile): return None")
    return tmp_path
