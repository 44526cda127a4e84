"""The pages: each can be found, each link leads somewhere, and code that no test runs parses."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import raytracker
from raytracker.cli.command import app
from tests.support.documents import PAGES, ROOT, Block, anchors, blocks, commands, links

CODE = [block for page in PAGES for block in blocks(page)]
TEXT = [block for block in CODE if not block.language]
PARSED = [block for block in CODE if block.is_code and not block.is_run]
LOOKS_LIKE_CODE = re.compile(r"^(\$ |raytracker |make |pip |python |curl |import |from \w+ import)")

PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_each_page_is_in_the_list():
    """And once: docs/README.md is where the order of the pages stands."""
    index = ROOT / "docs" / "README.md"
    listed = [link for link in links(index) if link.endswith(".md") and "/" not in link]
    assert sorted(listed) == sorted(
        page.name for page in index.parent.glob("*.md") if page != index
    )


@PAGE
def test_links_lead_somewhere(page: Path):
    """A file that is there, and a heading in it; of the net's only the form is looked at."""
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@PAGE
def test_no_heading_stands_twice(page: Path):
    """A reader could not tell them apart, and their links would change with their order."""
    twice = {anchor for anchor in anchors(page) if re.sub(r"-\d+$", "", anchor) in anchors(page)}
    assert {anchor for anchor in twice if re.search(r"-\d+$", anchor)} == set()


@pytest.mark.parametrize("block", TEXT, ids=lambda block: block.place)
def test_code_is_told_apart_from_text(block: Block):
    """What has no language is not run; so it must not look like a command or a program."""
    assert not any(LOOKS_LIKE_CODE.match(line) for line in block.text.splitlines())


@pytest.mark.parametrize("block", PARSED, ids=lambda block: block.place)
def test_code_that_is_not_run_here_parses(block: Block):
    """Its Python compiles, its arguments and options are there; what runs it instead is there."""
    if block.language == "python":
        _check_python(block.text)
    else:
        for line in commands(block):
            _check_command(line)
    if "run by" in block.notes:
        assert (ROOT / block.notes["run by"]).exists()


def test_each_option_of_a_run_is_on_its_page():
    """`raytracker run` has many, and a reader looks for them in one place."""
    page = (ROOT / "docs" / "command.md").read_text()
    options = [option for each in get_command(app).commands["run"].params for option in each.opts]
    assert {option for option in options if option.startswith("--") and option not in page} == set()


def _check_python(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in raytracker.__all__:
                continue
            known = inspect.signature(getattr(raytracker, node.func.id)).parameters
            assert {word.arg for word in node.keywords} <= known.keys(), node.func.id


def _check_command(line: str) -> None:
    words = shlex.split(re.sub(r"\s#.*", "", line))  # shlex begins a comment inside of words, too
    if words[1:2] in (["--install-completion"], ["--show-completion"]):  # which typer adds
        return
    if words[0] == "raytracker":
        end = next((at for at, word in enumerate(words) if word in ("|", ">", "||", "&&")), None)
        _parse(words[1:end])
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    else:
        assert words[0] in ("cat", "curl", "exit", "kill", "pip", "python", "rio"), line


def _parse(words: list[str]) -> None:
    """Reads a command and its options as the command itself does."""
    command, rest = get_command(app), iter(words)
    while commands := getattr(command, "commands", None):
        command = commands[next(rest)]
    command.make_context(command.name, list(rest))
