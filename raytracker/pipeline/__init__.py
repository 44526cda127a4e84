"""One image from the file to the ended job item, and where the results go."""

from ..imagery import Cut
from .assembly.asked import Assembly
from .collecting import collect
from .delivery import files_of
from .plan import Plan, plan_image
from .process import process_image
from .store import JOB, MAP, RESULTS, ResultStore
from .work import Work
from .workers import Workers, workers_of

__all__ = [
    "JOB",
    "MAP",
    "RESULTS",
    "Assembly",
    "Cut",
    "Plan",
    "ResultStore",
    "Work",
    "Workers",
    "collect",
    "files_of",
    "plan_image",
    "process_image",
    "workers_of",
]
