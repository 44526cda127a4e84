"""The code of the pages is run, page by page as a reader does, and prints what stands there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.support import given
from tests.support.command import environment
from tests.support.documents import PAGES, ROOT, Block, blocks, commands
from tests.support.shell import Shell, lasting, steps

# Places that the pages name, and a reader has elsewhere; here they are in the page's folder.
ELSEWHERE = re.compile(r"(?<![\w.])(s3:/)?/(?=(bucket|data|models)/)")

# The page of the API is made of docstrings, whose code is of the class that they describe.
PROSE = [page for page in PAGES if page.name != "api.md"]
RUN = [page for page in PROSE if any(block.is_run for block in blocks(page))]

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def folder(tmp_path: Path, dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page is worked through, with an empty table."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    monkeypatch.setenv("RAYTRACKER_TABLE", "ImageJobs")
    monkeypatch.chdir(tmp_path)
    given.folder(tmp_path)
    given.table()
    return tmp_path


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page(page: Path, folder: Path):
    """Each block in its order; what one makes, the next has."""
    names: dict[str, Any] = {"__name__": "__main__", "ray": ray}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = environment(PATH=path, RAY_ADDRESS=ray.get_runtime_context().gcs_address)
    with Shell(folder, env) as shell:
        for block in filter(lambda block: block.is_run, blocks(page)):
            exec(block.notes.get("given", ""), names)
            if block.language == "python":
                run_python(block, names, folder)
            elif block.language == "sh":
                run_commands(block, shell, folder)
            else:
                run_session(block, shell, folder)


def here(text: str, folder: Path) -> str:
    return ELSEWHERE.sub(f"{folder}/", text)


def run_python(block: Block, names: dict[str, Any], folder: Path) -> None:
    code = compile("\n" * block.line + here(block.text, folder), str(block.page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    if block.output is not None:
        assert lasting(printed.getvalue()) == lasting(block.output), block.place


def run_commands(block: Block, shell: Shell, folder: Path) -> None:
    for command in commands(block):
        shown, status = shell.type(here(command, folder))
        assert status == 0, f"{block.place}: {command}\n{shown}"


def run_session(block: Block, shell: Shell, folder: Path) -> None:
    for command, printed in steps(block.text):
        shown, _ = shell.type(here(command, folder))
        assert squeezed(lasting(shown, folder)) == squeezed(lasting(printed)), block.place


def squeezed(text: str) -> str:
    return re.sub(r"\n+", "\n", text).strip()
