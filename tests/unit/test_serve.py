"""The page's server: who may ask, what it answers, how often it reads."""

import json
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from starlette.testclient import TestClient

from raytracker.job_table import JobTable
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger, classes_of
from raytracker.serve import make_app
from raytracker.serve.app import FILES
from tests.support.on_call import NOW, OOM, invoke, put
from tests.support.page import TOKEN

ID = "s3://bucket/a scene?&#<b>.tif"
CUT = {"tile_size": [10, 10], "tile_overlap": [0, 0], "region_size": [20, 20], "edges": "clip"}
ROI = "POLYGON ((1 1, 9 1, 9 19, 1 19, 1 1))"


@pytest.fixture
def client(moto_table: JobTable) -> Iterator[TestClient]:
    """Who has the token, and asks a page of a table in moto."""
    app = make_app(moto_table, token=TOKEN, port=80)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url="http://127.0.0.1", headers=bearer) as client:
        yield client


@pytest.fixture
def stranger(client: TestClient) -> TestClient:
    """Who has none."""
    return TestClient(client.app, base_url="http://127.0.0.1")


def tiled(table: JobTable, image_id: str = ID, **more: Any) -> Ledger:
    """Writes an image of 4 x 3 tiles, in regions of 2 x 2, of which number 5 failed."""
    ledger = Ledger(Layout.of([4, 4, 2, 2]))
    ledger.merge([(0, SUCCESS * 5 + ERROR)], {5: OOM}, classes_of({5: OOM}))
    put(
        table,
        image_id,
        width=40,
        height=30,
        region_count=4,
        region_success=1,
        tracker_ledger=to_text(ledger.encode()),
        tracker_errors={"5": OOM},
        tracker_classes=to_text(ledger.classes().encode(ledger.tile_outcomes())),
        tracker_grid=json.dumps(CUT),
        **more,
    )
    return ledger


def asked(client: TestClient, path: str, code: int = 200, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == code, answer.text
    return answer.json()


# --- who may ask ---


@pytest.mark.parametrize("path", ["/", "/image", "/api/images", "/static/list.js", "/nothing"])
def test_nothing_is_told_without_the_token(stranger: TestClient, path: str) -> None:
    for shown in ({}, {"Authorization": "Bearer other"}, {"Cookie": "raytracker_80=other"}):
        assert stranger.get(path, headers=shown).status_code == 401
    assert stranger.get(path, params={"token": "other"}).status_code == 401


def test_the_url_becomes_a_cookie_that_no_script_and_no_other_site_has(
    stranger: TestClient,
) -> None:
    answer = stranger.get("/", params={"token": TOKEN})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "raytracker_80="))
    assert stranger.get("/api/images").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_a_foreign_name_is_refused_with_the_token_too(client: TestClient, host: str) -> None:
    """As after DNS rebinding."""
    assert client.get("/api/images", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1:8700", "[::1]:80", "LOCALHOST"])
def test_this_machine_and_addresses_are_no_foreign_names(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_nothing_can_be_written(client: TestClient) -> None:
    for path in ("/api/images", "/api/image", "/"):
        assert client.post(path).status_code == 405


def test_every_answer_forbids_what_the_page_does_not_need(
    client: TestClient, stranger: TestClient
) -> None:
    for answer in (client.get("/"), client.get("/api/images"), stranger.get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_files_have_no_inline_script_and_nothing_from_elsewhere() -> None:
    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            assert not any(name.startswith("on") or name == "style" for name in given)
            assert tag != "script" or given.get("src")
            links = (given.get("src"), given.get("href"))
            assert all(link.startswith("/") for link in links if link)

    for path in FILES.glob("*.html"):
        Reader().feed(path.read_text())
    for path in FILES.glob("*.js"):
        text = path.read_text()
        assert not any(word in text for word in ("innerHTML", "outerHTML", "insertAdjacent"))
        assert "eval(" not in text


# --- what it answers ---


def test_images_have_the_names_of_their_items(client: TestClient, moto_table: JobTable) -> None:
    put(moto_table, "old", start_time=1, region_error=1)
    put(moto_table, "new")
    told = asked(client, "/api/images")
    assert told["table"] == moto_table.table_name
    assert [job["image_id"] for job in told["images"]] == ["new", "old"]
    assert told["images"][1]["region_error"] == 1
    assert told["counts"]["IN_PROGRESS"] == 2


def test_images_are_filtered(client: TestClient, moto_table: JobTable) -> None:
    put(moto_table, "Scene-1", model_name="Ships")
    put(moto_table, "scene-2", tracker_state="CANCELLED", end_time=int(NOW * 1000))
    put(moto_table, "other", tracker_alive_until=int(NOW - 1))

    def ids(**query: Any) -> set[str]:
        return {job["image_id"] for job in asked(client, "/api/images", **query)["images"]}

    assert ids() == {"Scene-1", "scene-2", "other"}
    assert ids(q="SCENE") == {"Scene-1", "scene-2"}
    assert ids(q="ships") == {"Scene-1"}
    assert ids(status="CANCELLED") == {"scene-2"}
    assert ids(status=["CANCELLED", "IN_PROGRESS"], q="scene") == {"Scene-1", "scene-2"}
    assert ids(silent=1) == {"other"}
    assert asked(client, "/api/images", limit=1)["fitting"] == 3
    assert len(ids(limit=1)) == 1


@pytest.mark.parametrize("query", [{"status": "success"}, {"limit": "0"}, {"limit": "ten"}])
def test_a_wrong_question_names_the_value(client: TestClient, query: dict[str, str]) -> None:
    [value] = query.values()
    assert repr(value) in asked(client, "/api/images", code=400, **query)["error"]


def test_an_image_says_what_its_item_and_its_ledger_say(
    client: TestClient, moto_table: JobTable
) -> None:
    tiled(moto_table)
    told = asked(client, "/api/image", image_id=ID)
    assert (told["tile_count"], told["tile_success"], told["tile_error"]) == (12, 5, 1)
    [group] = told["groups"]
    assert (group["reason"], group["tile_error"], group["tiles"], group["first"]) == (
        OOM,
        1,
        "5",
        5,
    )
    assert (group["class"], group["others"]) == (OOM.partition(":")[0], False)
    assert told["map"] == {"rows": 3, "columns": 4, "step": [10, 10], "block": [2, 2]}
    assert told["started_by"]["host"] == "node-7"


def test_the_map_has_tiles_where_they_lie(client: TestClient, moto_table: JobTable) -> None:
    """Number 5 is the second of the second region: first row, fourth column."""
    tiled(moto_table)
    cells = client.get("/api/image/tiles", params={"image_id": ID}).content
    assert list(cells) == [2, 2, 2, 1, 2, 2, 0, 0, 0, 0, 0, 0]
    told = asked(client, "/api/image/tile", image_id=ID, row=0, column=3)
    assert (told["region"], told["tile"], told["number"]) == (1, 1, 5)
    assert (told["outcome"], told["reason"]) == ("error", OOM)
    assert told["class"] == OOM.partition(":")[0]
    assert asked(client, "/api/image/tile", image_id=ID, number=5) == told
    asked(client, "/api/image/tile", code=404, image_id=ID, row=3, column=0)
    asked(client, "/api/image/tile", code=400, image_id=ID, row="x", column=0)


@pytest.mark.parametrize(
    "cut",
    ["", "[]", '{"tile_size": 10}', '{"tile_size": [1e9, 0]}', '{"tile_size": "x"}', "{" * 9999]
    + [json.dumps({**CUT, "roi": roi}) for roi in ("POINT (1 1)", "x", 7)]
    + [
        json.dumps({**CUT, "roi": ROI, "crs": "EPSG:4326", "transform": ["x"]}),
        json.dumps({**CUT, "edges": ["clip"]}),
    ],
)
def test_where_the_cut_is_not_known_tiles_lie_by_their_numbers(
    client: TestClient, moto_table: JobTable, cut: str
) -> None:
    ledger = tiled(moto_table)
    put(
        moto_table,
        "strange",
        width=40,
        height=30,
        tracker_ledger=to_text(ledger.encode()),
        tracker_grid=cut,
    )
    told = asked(client, "/api/image", image_id="strange")
    assert told["map"] == {"rows": 3, "columns": 4, "step": None, "block": None}
    cells = client.get("/api/image/tiles", params={"image_id": "strange"}).content
    assert list(cells) == [2, 2, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0]


def test_an_roi_leaves_cells_without_a_tile(client: TestClient, moto_table: JobTable) -> None:
    ledger = Ledger(Layout.of([2]))
    cut = {**CUT, "roi": ROI, "roi_crs": "image"}
    put(
        moto_table,
        "roi",
        width=40,
        height=30,
        tracker_ledger=to_text(ledger.encode()),
        tracker_grid=json.dumps(cut),
    )
    cells = client.get("/api/image/tiles", params={"image_id": "roi"}).content
    assert list(cells) == [0, 255, 255, 255, 0, 255, 255, 255, *[255] * 4]
    asked(client, "/api/image/tile", code=404, image_id="roi", row=0, column=1)


def test_an_item_of_osml_has_no_map(client: TestClient, moto_table: JobTable) -> None:
    put(moto_table, "osml", tracker_ledger=None, tracker_run=None)
    assert asked(client, "/api/image", image_id="osml")["map"] is None
    asked(client, "/api/image/tiles", code=404, image_id="osml")


def test_a_damaged_ledger_is_told_and_the_rest_is_shown(
    client: TestClient, moto_table: JobTable
) -> None:
    put(moto_table, "hurt", tracker_ledger="AAAA")
    told = asked(client, "/api/image", image_id="hurt")
    assert "cannot be read" in told["trouble"]
    assert told["region_success"] == 2


def test_an_image_that_is_not_there_is_named(client: TestClient) -> None:
    assert "'nobody'" in asked(client, "/api/image", code=404, image_id="nobody")["error"]
    asked(client, "/api/image", code=400)


def test_a_table_that_is_away_is_told(client: TestClient, moto_table: JobTable) -> None:
    put(moto_table, "scene")
    asked(client, "/api/images")
    moto_table.table.delete()
    time.sleep(1)  # the last reading is good so long
    told = asked(client, "/api/images")
    assert told["images"]
    assert moto_table.table_name in told["trouble"]


# --- how often it reads ---


@pytest.fixture
def reads(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the table was read, by time.monotonic."""
    began: list[float] = []
    from raytracker.serve import sights

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            began.append(time.monotonic())
            return function(*args)

        return call

    monkeypatch.setattr(sights, "jobs_in", noted(sights.jobs_in))
    monkeypatch.setattr(JobTable, "read", noted(JobTable.read))
    return began


def test_who_asks_often_is_answered_from_one_read_a_second(
    client: TestClient, moto_table: JobTable, reads: list[float]
) -> None:
    tiled(moto_table)
    until = time.monotonic() + 2.5
    answers = 0
    while time.monotonic() < until:
        asked(client, "/api/image", image_id=ID)
        asked(client, "/api/images")
        asked(client, "/api/image/tile", image_id=ID, number=1)
        answers += 1
    assert answers >= 2
    assert 2 <= len(reads) <= 4
    assert all(later - earlier >= 1 for earlier, later in pairwise(reads))


# --- the command ---


def test_the_command_says_what_is_wrong(moto_table: JobTable) -> None:
    assert "--table" in invoke("serve", status=2).stderr
    assert "nowhere" in invoke("serve", "--table", "nowhere", status=2).stderr
    table = ["--table", moto_table.table_name]
    assert (
        "--host no.such.host.invalid"
        in invoke("serve", *table, "--host", "no.such.host.invalid", status=2).stderr
    )
