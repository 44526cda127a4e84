"""The expression of an update, and what stands in it."""

from __future__ import annotations

from typing import Any


class Update:
    """Attributes that an UpdateItem sets, or takes away, each behind a placeholder.

    A condition can name them: `#name` is the attribute as it is, `:name` its new value.

    Args:
        attributes: New values by attribute; None takes the attribute away.
    """

    def __init__(self, **attributes: Any) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self._sets: list[str] = []
        self._removes: list[str] = []
        self.set(**attributes)

    def set(self, **attributes: Any) -> None:
        """Adds attributes."""
        for name, value in attributes.items():
            self.names[f"#{name}"] = name
            if value is None:
                self._removes.append(f"#{name}")
            else:
                self._sets.append(f"#{name} = :{name}")
                self.values[f":{name}"] = value

    @property
    def expression(self) -> str:
        """`SET ... REMOVE ...`; something is set."""
        removes = f" REMOVE {', '.join(self._removes)}" if self._removes else ""
        return f"SET {', '.join(self._sets)}{removes}"
