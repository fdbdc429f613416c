"""Every case of this folder on real servers, for each pairing of flavours and each path it fits (README.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import casebook
from lab import Server

pytestmark = pytest.mark.servers
CASES = casebook.read_all()
COLUMNS = [(s, t, p) for s in casebook.FLAVOURS for t in casebook.FLAVOURS for p in casebook.PATHS]


@pytest.fixture(scope="module")
def book(pairs: Callable[[str], tuple[Server, Server]]) -> Iterator[casebook.Book]:
    one = casebook.Book(pairs, CASES)
    yield one
    one.close()


@pytest.mark.timeout(600)  # the first case of a column waits for all of them
@pytest.mark.parametrize(
    ("column", "name"), [(k, c.name) for k in COLUMNS for c in CASES if c.fits(*k)],
    ids=lambda v: "-".join(v) if isinstance(v, tuple) else v,
)  # fmt: skip
def test_case(book: casebook.Book, column: tuple[casebook.Flavour, casebook.Flavour, str], name: str) -> None:
    outcome = book.outcomes(*column)[name]
    assert not outcome.wrong, outcome.wrong


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 150
