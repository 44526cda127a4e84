"""All benches, in the order in which they run."""

from . import tasks, receipts, reports, table, cost, memory, actors, pool, growth, imagery, models  # noqa: F401, I001
from . import assembly, unet  # noqa: F401
from .harness import BENCHES

__all__ = ["BENCHES"]
