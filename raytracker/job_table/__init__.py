"""The job table: its items, OSML's methods, and the four writes of a run."""

from .creation import KEY, TTL_ATTRIBUTE, look_at
from .cut import cut_of, with_cut
from .history import RunRecord, runs_of
from .item import JobItem, ledger_of
from .ledger_text import text_bytes
from .life import (
    ALIVE_SECONDS,
    SIGN_SECONDS,
    Starter,
    alive_until,
    is_alive,
    last_news,
    latest_sign,
)
from .listing import Consumed, jobs_in
from .outbox import BEGINNING, Topics
from .outputs import note_outputs
from .runs import KEEP_SECONDS, Flush, OwnerMoved, RunTable
from .size import check_size
from .spent import WCU_BYTES, Spent
from .table import EXPIRY_SECONDS, JobTable, check_image_id

__all__ = [
    "KEY",
    "TTL_ATTRIBUTE",
    "look_at",
    "RunRecord",
    "runs_of",
    "JobItem",
    "EXPIRY_SECONDS",
    "KEEP_SECONDS",
    "Consumed",
    "jobs_in",
    "BEGINNING",
    "Topics",
    "note_outputs",
    "Flush",
    "OwnerMoved",
    "RunTable",
    "ledger_of",
    "ALIVE_SECONDS",
    "SIGN_SECONDS",
    "Starter",
    "alive_until",
    "is_alive",
    "last_news",
    "latest_sign",
    "text_bytes",
    "check_size",
    "WCU_BYTES",
    "Spent",
    "cut_of",
    "with_cut",
    "JobTable",
    "check_image_id",
]
