"""Each form in which Ray runs work is counted right, and docs/ray.md says so."""

from collections.abc import Iterator

import pytest

from tests.examples.forms import CATALOGUE, FORMS, Counts, Stage, documented, stage, table

MOST_LINES = 32


@pytest.fixture(scope="module")
def forms(dynamodb_local: str) -> Iterator[Stage]:
    """A cluster as users have it."""
    with stage(dynamodb_local) as here:
        yield here


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts]:
    """What the tests of this module have counted."""
    return {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_form_is_counted_right(name: str, forms: Stage, counted: dict[str, Counts]) -> None:
    """Each region once, whatever ends a worker in that form."""
    counted[name] = forms.counted(name)
    assert counted[name] == CATALOGUE[name].counts


def test_the_page_says_what_was_counted(counted: dict[str, Counts]) -> None:
    """`python -m tests.examples.forms` writes the table."""
    assert table({name: form.counts for name, form in CATALOGUE.items()}) == documented()
    assert all(counted[name] == CATALOGUE[name].counts for name in counted)


def test_an_example_is_short() -> None:
    """Who looks for a form reads it at a glance."""
    for file in FORMS.glob("*.py"):
        assert len(file.read_text().splitlines()) <= MOST_LINES, file.name
