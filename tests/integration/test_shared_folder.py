"""An output folder: whether every node sees it."""

from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker.errors import OutputError
from raytracker.pipeline import ResultStore

pytestmark = pytest.mark.usefixtures("ray_cluster")


class Elsewhere(ResultStore):
    """A store that is another folder wherever it is sent to: one that nodes don't share."""

    def __reduce__(self) -> Any:
        return ResultStore, (f"{self.url}-of-the-node",)


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one node, as if there were two of them."""
    nodes = ray.nodes()
    monkeypatch.setattr(ray, "nodes", lambda: nodes * 2)


@pytest.mark.usefixtures("two_nodes")
def test_a_shared_folder_is_found_to_be_one(tmp_path: Path) -> None:
    """By a task on each node."""
    ResultStore(tmp_path / "out").check_shared()
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["tiles"]


@pytest.mark.usefixtures("two_nodes")
def test_a_folder_of_one_node_only_is_found_out(tmp_path: Path) -> None:
    """With the node's address and the cure."""
    address = ray.nodes()[0]["NodeManagerAddress"]
    with pytest.raises(OutputError, match=f"not shared with node {address}.*every node mounts"):
        Elsewhere(tmp_path / "out").check_shared()


class Gone(ResultStore):
    """A store on a node that dies before it has answered."""

    def read(self, name: str) -> bytes:
        raise ray.exceptions.NodeDiedError("the node has gone")

    def __reduce__(self) -> Any:
        return Gone, (self.url,)


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_has_gone_is_nobodys_problem(tmp_path: Path) -> None:
    """Ray tells it of the task before it shows the node as lost."""
    Gone(tmp_path / "out").check_shared()
