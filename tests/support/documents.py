"""The pages in Markdown: their code blocks, links and headings.

What a test is to know of a block, and a reader need not, stands in a comment before it:

    <!-- given: from tests.support.given import detect -->    Python, run before the block
    <!-- not run: it needs a GPU -->                           read and parsed only
    <!-- run by: tests/examples/test_examples.py -->           what runs it instead
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_COMMAND = re.compile(r"(raytracker|python|make|pip|curl) ")
_COMMENT = re.compile(r"<!--\s*(given|not run|run by):\s*(.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code in a page.

    Attributes:
        page: The file.
        line: Its first line there, from 1.
        language: "python", "sh" (commands), "console" (commands after `$ `, and what each prints),
            or another one.
        text: What it holds.
        notes: What the comments before it say, by their first words.
        output: What a block of text that directly follows says it prints; None: nothing does.
    """

    page: Path
    line: int
    language: str
    text: str
    notes: dict[str, str]
    output: str | None = None

    @property
    def is_code(self) -> bool:
        """Whether it is what a reader may run."""
        return self.language in ("python", "sh", "console")

    @property
    def is_run(self) -> bool:
        """Whether it is code that runs where it stands."""
        return self.is_code and not self.notes.keys() & {"not run", "run by"}

    @property
    def place(self) -> str:
        """Where it is, as editors take it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def tokens(page: Path) -> list[Token]:
    """Returns a page's parts in their order."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text())


def blocks(page: Path) -> list[Block]:
    """Returns the code blocks of a page; an indented one says by its first line what it is."""
    found: list[Block] = []
    notes: dict[str, str] = {}
    follows = False  # whether the last part was a block of Python
    for token in tokens(page):
        if token.type == "html_block":
            notes |= dict(_COMMENT.findall(token.content))
            continue
        if token.type not in ("fence", "code_block"):
            notes, follows = {}, False
            continue
        assert token.map is not None
        language, text = token.info, token.content
        if token.type == "code_block":
            command = "sh" if _COMMAND.match(text) else ""
            language = "console" if text.startswith("$ ") else command
        if language == "text" and follows:
            last = found.pop()
            found.append(Block(**{**vars(last), "output": text}))
        else:
            found.append(Block(page, token.map[0] + 1, language, text, notes))
        notes, follows = {}, language == "python"
    return found


def commands(block: Block) -> list[str]:
    """Returns the commands of a block of sh or console, each as one line, without comments."""
    text = block.text.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def links(page: Path) -> list[str]:
    """Returns where the links and pictures of a page lead."""
    inline = [child for token in tokens(page) for child in token.children or ()]
    return [str(child.attrGet("href") or child.attrGet("src")) for child in inline
            if child.type in ("link_open", "image")]  # fmt: skip


@cache
def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub names them."""
    found: set[str] = set()
    for opening, inline in pairwise(tokens(page)):
        if opening.type == "heading_open":
            words = "".join(child.content for child in inline.children or ())
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            number = next(n for n in range(99) if f"{anchor}-{n or ''}".rstrip("-") not in found)
            found.add(f"{anchor}-{number}" if number else anchor)
    return found
