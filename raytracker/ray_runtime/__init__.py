"""Which cluster this is, which kind of process, and what Ray has no public name for.

Ray's private corners stand here and nowhere else; tests/integration/test_ray_runtime.py has a test
for each, which says what is relied on.
"""

from .activity import Running, attempts_of, what_runs
from .connection import (
    check_connected,
    check_not_forked,
    cluster,
    holding_connection,
    in_local_mode,
    is_connected,
)
from .functions import check_sendable, default_retries, remote_once, unwrap
from .nodes import (
    actor_state,
    died_with_node,
    head_node,
    how_many_fit,
    may_grow,
    most_of_a_node,
    node_address,
    resources_of,
    runtime_environment,
)
from .process import (
    attempt_number,
    before_actor_ends,
    in_actor,
    in_async_loop,
    in_worker,
    job_name,
    may_end,
    running_attempt,
    this_actor,
)
from .words import in_a_line

__all__ = [
    "check_not_forked",
    "is_connected",
    "check_connected",
    "holding_connection",
    "cluster",
    "in_local_mode",
    "in_worker",
    "job_name",
    "in_actor",
    "this_actor",
    "in_async_loop",
    "may_end",
    "before_actor_ends",
    "attempt_number",
    "running_attempt",
    "runtime_environment",
    "node_address",
    "head_node",
    "actor_state",
    "died_with_node",
    "how_many_fit",
    "may_grow",
    "most_of_a_node",
    "resources_of",
    "attempts_of",
    "Running",
    "what_runs",
    "unwrap",
    "default_retries",
    "check_sendable",
    "remote_once",
    "in_a_line",
]
