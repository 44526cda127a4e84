"""Writes docs/api.md: the public names of raytracker, from their signatures and docstrings.

Usage: api.py [--check]    (--check: writes nothing; the exit status is 1 if the page is stale)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
from griffe import DocstringSectionKind as Kind

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
HEAD = """\
# The API

All that `import raytracker` offers, from its docstrings, in the order in which a reader needs it.
`make api` writes this page. The exceptions come last; the parts for pipelines of another shape are
in `raytracker.imagery` ([imagery.md](imagery.md)) and `raytracker.ddb` ([osml.md](osml.md))."""
BREAK = "\n# ----\n"  # between signatures that are laid out together
LISTS = {
    Kind.parameters: "Arguments",
    Kind.attributes: "Attributes",
    Kind.raises: "Raises",
}
SENTENCES = {Kind.returns: "Returns", Kind.yields: "Yields"}


def page() -> str:
    """Returns the text of the page."""
    package = griffe.load("raytracker", search_paths=[ROOT], docstring_parser="google")
    parts = [HEAD]
    for name in map(str, package.exports or ()):
        parts += of_object(target(package[name]))
    parts += ["## Exceptions", "All are in `raytracker.errors`, and are a `RaytrackerError`."]
    rows = [f"| `{each.name}` | {first_line(each)} |" for each in exceptions(package)]
    parts.append("\n".join(["| exception | says |", "| --- | --- |", *rows]))
    return "\n\n".join(laid_out(parts)) + "\n"


def target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if found.is_alias else found


def exceptions(package: griffe.Object) -> Iterator[griffe.Object]:
    for each in package["errors"].classes.values():
        if each.is_public and each.name != "RaytrackerError":
            yield each


def of_object(found: griffe.Object) -> Iterator[str]:
    """Gives the parts of one public name, and of a class those of its methods."""
    yield f"## {found.name}"
    if found.is_function:
        yield signature(found, found.name)
    elif "__init__" in found.members and "dataclass" not in found.labels:
        yield signature(found["__init__"], found.name)
    yield from of_docstring(found)
    for name, each in sorted(found.all_members.items(), key=lambda pair: order(found, pair[0])):
        method = target(each)
        if name.startswith("_") or not method.docstring or method.is_class:
            continue
        if method.is_function or "property" in method.labels:
            yield f"### {found.name}.{name}"
            yield signature(method, name)
            yield from of_docstring(method)


def order(found: griffe.Object, name: str) -> int:
    """Returns the place of a member: a class's own first, as they stand there."""
    own = list(found.members)
    return own.index(name) if name in own else len(own)


def signature(function: griffe.Object, name: str) -> str:
    """Returns a call, or the type of a property, as code."""
    if not function.is_function:
        return f"```py\n{name}: {function.annotation}\n```"
    kinds = [each for each in ("classmethod", "staticmethod") if each in function.labels]
    decorated = "".join(f"@{kind}\n" for kind in kinds)
    return f"```py\n{decorated}def {function.signature(name=name)}: ...\n```"


def of_docstring(found: griffe.Object) -> Iterator[str]:
    if not found.docstring:
        return
    for section in found.docstring.parsed:
        if section.kind is Kind.text:
            yield section.value
        elif section.kind in LISTS:
            yield "\n".join([f"**{LISTS[section.kind]}**", "", *map(entry, section.value)])
        elif section.kind in SENTENCES:
            said = " ".join(each.description for each in section.value)
            yield f"**{SENTENCES[section.kind]}** {' '.join(said.split())}"
        elif section.kind is Kind.admonition and section.title == "Example":
            yield f"```py\n{section.value.description}\n```"
        else:
            raise ValueError(f"{found.path}: nobody has said how to show {section.kind.value}")


def entry(element: griffe.DocstringElement) -> str:
    name = str(element.annotation)
    if isinstance(element, griffe.DocstringParameter):
        name = element.name  # its type stands in the signature
    elif isinstance(element, griffe.DocstringAttribute):
        name = f"{element.name}: {name}" if element.annotation else element.name
    return f"- `{name}`: {' '.join(element.description.split())}"


def first_line(found: griffe.Object) -> str:
    return found.docstring.value.splitlines()[0] if found.docstring else ""


def laid_out(parts: list[str]) -> list[str]:
    """Returns the parts with the signatures among them as ruff lays them out."""
    codes = {at: part for at, part in enumerate(parts) if part.startswith("```py\n")}
    text = BREAK.join(code[6:-4] for code in codes.values())
    ruff = [sys.executable, "-m", "ruff", "format", "--line-length", "100", "-"]
    done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True)
    for at, code in zip(codes, done.stdout.split(BREAK.strip()), strict=True):
        parts[at] = f"```py\n{code.strip().removesuffix(': ...')}\n```"
    return parts


def main(arguments: list[str]) -> int:
    """Writes the page, or says whether it is stale."""
    text = page()
    if "--check" in arguments:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
