"""Names become keys of the table, and stand in logs: no secret is in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytracker.errors import InvalidImage, InvalidImageId, OutputError
from raytracker.imagery import describe
from raytracker.job_table import JobTable
from raytracker.pipeline import Cut, ResultStore, plan_image
from raytracker.secrets import secret_in
from tests.support.command import BAHAMAS

URLS = [
    "https://user:hunter2@host/a.tif",
    "/vsicurl/https://user:hunter2@host/a.tif",
    "/vsicurl?url=https%3A%2F%2Fuser%3Ahunter2%40host%2Fa.tif",
    "https://b.s3.amazonaws.com/a.tif?X-Amz-Credential=x&X-Amz-Signature=hunter2",
    "https://storage.googleapis.com/b/a.tif?X-Goog-Signature=hunter2",
    "https://a.blob.core.windows.net/c/a.tif?sv=1&sig=hunter2",
    "https://b.s3.amazonaws.com/a.tif?AWSAccessKeyId=hunter2",
    "zip+https://user:hunter2@host/a.zip!a.tif",
]


@pytest.mark.parametrize("url", URLS)
def test_a_name_with_a_secret_is_refused(url: str, moto_table: JobTable) -> None:
    """With what to do, and without the secret; so is one as id or output."""
    with pytest.raises(InvalidImage, match="by a role, or by the environment") as caught:
        describe(url, allow_url=True)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidImageId, match="by a role, or by the environment") as of_id:
        plan_image(BAHAMAS, print, Cut(), table=moto_table, image_id=f"job:{url}")
    assert "hunter2" not in str(of_id.value)


def test_an_output_with_a_secret_is_refused() -> None:
    """It goes into the item."""
    with pytest.raises(OutputError, match="by a role") as caught:
        ResultStore("s3://key:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["s3://b/a@b:c.tif", "s3://b/A?x=1&y.tif", "job:s3://b/k.tif", "a:b@c", "https://h/a"]
)
def test_names_without(name: str) -> None:
    """Are left alone."""
    assert secret_in(name) is None


def test_no_link_in_an_output_is_followed(tmp_path: Path) -> None:
    """Whoever can write there must not choose what is read, nor where we write."""
    out, secret = tmp_path / "out", tmp_path / "secret"
    secret.mkdir()
    (secret / "results.geojson").write_text("hunter2")
    out.mkdir()
    (tmp_path / "link").symlink_to(out)  # the folder itself may be one
    store = ResultStore(tmp_path / "link")
    store.write("job.json", b"{}")
    (out / "results.geojson").symlink_to(secret / "results.geojson")
    (out / "tiles").symlink_to(secret)
    for act in (
        lambda: store.read("results.geojson"),
        lambda: store.read("tiles/results.geojson"),
        lambda: store.write("tiles/x", b"x"),
        lambda: store._place.prepare("tiles"),
        lambda: store._place.names("tiles"),
    ):
        with pytest.raises(OutputError, match="is a link"):
            act()
    store._place.remove("tiles/results.geojson")
    assert [path.name for path in secret.iterdir()] == ["results.geojson"]
    assert store.read("job.json") == b"{}"
