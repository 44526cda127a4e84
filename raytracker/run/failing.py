"""What failed first, of each kind: told when it happens, while later ones are only counted."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ..ledger import Layout, kind_of
from ..progress import Failed

MOST_KINDS = 20  # beyond, they are counted with all the others only


class Failing:
    """The first failed tile of each kind of reason, see `kind_of`, that this process was told of.

    Args:
        layout: The tiles of each region.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kinds: dict[str, Failed] = {}
        self._noting = threading.Lock()

    def note(self, reasons: Mapping[int, str]) -> None:
        """Takes note of reasons, by tile number."""
        with self._noting:
            for number, reason in sorted(reasons.items()):
                kind = kind_of(reason)
                if kind not in self._kinds and len(self._kinds) < MOST_KINDS:
                    self._kinds[kind] = Failed(*self._layout.locate(number), reason)

    @property
    def first(self) -> tuple[Failed, ...]:
        """The first of each kind, in the order in which they came."""
        with self._noting:
            return tuple(self._kinds.values())
