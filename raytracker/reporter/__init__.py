"""What this process knows and is not durable yet, and the thread that tells the actors."""

from .reporting import Reporter, reporter

__all__ = [
    "Reporter",
    "reporter",
]
