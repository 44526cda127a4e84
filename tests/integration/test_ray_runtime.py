"""What is relied on of Ray, its private corners above all; these run on Ray 2.53 and the newest.

One test for each function of `ray_runtime`: when a version of Ray breaks one, this says which.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ray_runtime
from raytracker.errors import RayNotInitialized
from tests.support.command import environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def in_a_task(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Returns what the function returns in a task."""
    task = ray.remote(function)
    return ray.get((task.options(**options) if options else task).remote(*args), timeout=60)


def test_a_process_knows_whether_it_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not connected by asking."""
    ray_runtime.check_connected()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for ask in (ray_runtime.check_connected, ray_runtime.cluster, ray_runtime.runtime_environment):
        with pytest.raises(RayNotInitialized, match=r"ray\.init"):
            ask()


def test_a_connection_has_a_name() -> None:
    """The same in all processes of a node and job, so long as they are connected."""
    here = ray_runtime.cluster()
    assert here == ray_runtime.cluster()  # the second time it is remembered
    assert in_a_task(ray_runtime.cluster) == here


HOLD = """
import sys, threading, ray
from raytracker.ray_runtime import holding_connection

held, let_go, ended = threading.Event(), threading.Event(), []

def hold():
    with holding_connection():
        held.set()
        let_go.wait()
        ended.append(ray.is_initialized())

ray.init(sys.argv[1], log_to_driver=False)
threading.Thread(target=hold).start()
held.wait()
threading.Timer(0.5, let_go.set).start()
ray.shutdown()
assert ended == [True]
"""


def test_a_connection_that_is_held_stays() -> None:
    """Another thread's shutdown waits for the end of the block."""
    address = ray.get_runtime_context().gcs_address
    line = [sys.executable, "-c", HOLD, address]
    assert subprocess.run(line, env=environment(), timeout=60, check=False).returncode == 0


def test_a_worker_knows_that_it_is_one() -> None:
    """A driver that it is none; and neither is in local mode."""
    kinds = (ray_runtime.in_worker, ray_runtime.in_local_mode)
    assert [ask() for ask in kinds] == [False, False]
    assert [in_a_task(ask) for ask in kinds] == [True, False]


def test_an_environment_is_told_by_its_text() -> None:
    """That of the job in driver and tasks, whose spelling differs; a task's own is another."""
    here = ray_runtime.runtime_environment()
    assert in_a_task(ray_runtime.runtime_environment) == here
    own = {"env_vars": {"B": "2", "A": "1"}}
    there = in_a_task(ray_runtime.runtime_environment, runtime_env=own)
    assert there != here
    again = {"env_vars": {"A": "1", "B": "2"}}
    assert in_a_task(ray_runtime.runtime_environment, runtime_env=again) == there


def test_a_node_has_an_address() -> None:
    """The one that Ray shows for it."""
    assert ray_runtime.node_address() in [node["NodeManagerAddress"] for node in ray.nodes()]
    assert in_a_task(ray_runtime.node_address) == ray_runtime.node_address()


def test_the_head_node_is_known_by_its_resource() -> None:
    """Its id is what an actor is put there by."""
    assert ray_runtime.head_node() == ray.get_runtime_context().get_node_id()
    assert in_a_task(ray_runtime.head_node) == ray_runtime.head_node()


def test_an_actor_has_a_handle_of_itself() -> None:
    """In its threads as well; what is no actor has none, and starts no Ray to find one."""

    class Named:
        def name(self) -> str:
            return "this one"

        def ask(self) -> Any:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(lambda: ray_runtime.this_actor().name.remote()).result()

    actor = ray.remote(Named).options(max_concurrency=2).remote()
    assert ray.get(ray.get(actor.ask.remote(), timeout=60), timeout=60) == "this one"
    with pytest.raises(RuntimeError):
        ray_runtime.this_actor()


class Asking:
    """An actor that returns what a function of `ray_runtime` does."""

    def __init__(self) -> None:
        self.at_first = ray_runtime.in_actor()

    def ask(self, name: str) -> Any:
        return getattr(ray_runtime, name)()

    def ask_in_a_thread(self, name: str) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.ask, name).result()

    def was_one_at_first(self) -> bool:
        return self.at_first


class AsyncAsking:
    """The same, in an event loop."""

    async def ask(self, name: str) -> Any:
        return getattr(ray_runtime, name)()


def in_an_actor(name: str, kind: type = Asking, **options: Any) -> Any:
    actor = ray.remote(kind).options(num_cpus=0, **options).remote()
    return ray.get(actor.ask.remote(name), timeout=60)


def test_an_actor_knows_that_it_is_one() -> None:
    """From its `__init__` on; a task and a driver that they are none."""
    assert not ray_runtime.in_actor()
    assert not in_a_task(ray_runtime.in_actor)
    assert in_an_actor("in_actor")
    actor = ray.remote(num_cpus=0)(Asking).remote()
    assert ray.get(actor.was_one_at_first.remote(), timeout=60)


def test_a_process_knows_whether_ray_may_end_it() -> None:
    """An actor's, and a worker that has met a function with `max_calls`."""
    assert not ray_runtime.may_end()
    assert in_an_actor("may_end")
    new = {"env_vars": {"WORKER": "new"}}

    @ray.remote(max_calls=2, runtime_env=new)
    def ends() -> tuple[int, bool]:
        return os.getpid(), ray_runtime.may_end()

    @ray.remote(runtime_env=new)
    def another() -> tuple[int, bool]:
        return os.getpid(), ray_runtime.may_end()

    _, ending = ray.get(another.remote(), timeout=60)
    assert not ending
    met, ending = ray.get(ends.remote(), timeout=60)
    assert ending
    told = dict(ray.get([another.remote() for _ in range(20)], timeout=60))
    assert told.pop(met, True)
    assert not any(told.values())


def test_an_event_loop_is_noticed() -> None:
    """An async actor's, and one that was started; there nothing may wait."""

    async def look() -> bool:
        return ray_runtime.in_async_loop()

    assert asyncio.run(look())
    assert not ray_runtime.in_async_loop()
    assert in_an_actor("in_async_loop", AsyncAsking)
    assert not in_an_actor("in_async_loop")


def test_the_running_attempt_is_known() -> None:
    """Of a task, and of an actor's method; where Ray tells none, none is."""

    @ray.remote(max_retries=2, retry_exceptions=True)
    def third() -> tuple[Any, str | None]:
        if ray_runtime.attempt_number() < 2:
            raise ValueError("once more")
        return ray_runtime.running_attempt(), ray.get_runtime_context().get_task_id()

    running, task = ray.get(third.remote(), timeout=60)
    assert running == (task, 2)
    assert ray_runtime.running_attempt() is None
    for concurrency in (1, 3):
        actor = ray.remote(Asking).options(num_cpus=0, max_concurrency=concurrency).remote()
        reference = actor.ask.remote("running_attempt")
        assert ray.get(reference, timeout=60) == (reference.task_id().hex(), 0)
        assert ray.get(actor.ask_in_a_thread.remote("running_attempt"), timeout=60) is None
    assert in_an_actor("running_attempt", AsyncAsking) is None


@pytest.mark.parametrize("kind", ["plain", "async", "slots"])
def test_an_actor_is_told_before_its_end(tmp_path: Path, kind: str) -> None:
    """When its last handle goes, beside what its class has for that."""

    def note(what: str) -> None:
        (tmp_path / what).touch()

    class Plain:
        def arm(self) -> bool:
            return ray_runtime.before_actor_ends(lambda: note("ours"))

        def __ray_shutdown__(self) -> None:
            note("own")

    class Async:
        async def arm(self) -> bool:
            return ray_runtime.before_actor_ends(lambda: note("ours"))

    class Slots:
        __slots__ = ()

        def arm(self) -> bool:
            return ray_runtime.before_actor_ends(lambda: note("ours"))

    actor = ray.remote({"plain": Plain, "async": Async, "slots": Slots}[kind]).remote()
    assert ray.get(actor.arm.remote(), timeout=60)
    del actor
    wait_until((tmp_path / "ours").exists, what="the call of ours")
    assert (tmp_path / "own").exists() == (kind == "plain")


def test_attempts_are_numbered() -> None:
    """From 0; in a driver it is 0 as well."""

    @ray.remote(max_retries=2, retry_exceptions=True)
    def third() -> int:
        if ray_runtime.attempt_number() < 2:
            raise ValueError("once more")
        return ray_runtime.attempt_number()

    assert ray_runtime.attempt_number() == 0
    assert ray.get(third.remote(), timeout=60) == 2


def test_attempts_of_a_task_are_known(tmp_path: Path) -> None:
    """Each, and whether it has ended: of one that runs again, failed in the end, or returned."""

    def task_id() -> str:
        return str(ray.get_runtime_context().get_task_id())

    @ray.remote(max_retries=1, retry_exceptions=True)
    def again(folder: str) -> str:
        if ray_runtime.attempt_number() == 0:
            Path(folder, task_id()).touch()
            raise ValueError("once more")
        while not Path(folder, "go").exists():
            time.sleep(0.02)
        return task_id()

    @ray.remote(max_retries=2, retry_exceptions=[KeyError])
    def fails(folder: str) -> None:
        Path(folder, f"failing-{task_id()}").touch()
        raise ValueError("none of those that are retried")

    running, failing = again.remote(str(tmp_path)), fails.remote(str(tmp_path))
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, what="both tasks' first attempt")
    [failed] = [path.name.removeprefix("failing-") for path in tmp_path.glob("failing-*")]
    [first] = [path.name for path in tmp_path.iterdir() if failed not in path.name]

    def known() -> dict[str, dict[int, bool]]:
        return ray_runtime.attempts_of([first, failed, "00" * 24])

    wait_until(lambda: known() == {first: {0: True, 1: False}, failed: {0: True}})
    Path(tmp_path, "go").touch()
    assert ray.get(running, timeout=60) == first
    wait_until(lambda: known() == {first: {0: True, 1: True}, failed: {0: True}})
    with pytest.raises(ValueError, match="none of those"):
        ray.get(failing, timeout=60)
    assert in_a_task(ray_runtime.attempts_of, [failed]) == {failed: {0: True}}


def test_attempts_of_an_actors_method_are_known() -> None:
    """They are numbered as those of tasks."""

    @ray.remote(max_restarts=1, max_task_retries=1)
    class Once:
        @ray.method(retry_exceptions=True)
        def again(self) -> str:
            if ray_runtime.attempt_number() == 0:
                raise ValueError("once more")
            return str(ray.get_runtime_context().get_task_id())

    task = ray.get(Once.remote().again.remote(), timeout=60)
    wait_until(lambda: ray_runtime.attempts_of([task]) == {task: {0: True, 1: True}})


def test_what_ray_says_of_an_actor_is_told() -> None:
    """That it waits to be made, where it lives, that it is dead; nothing where nothing is known."""

    @ray.remote(num_cpus=0)
    class Any_:
        def pid(self) -> int:
            return os.getpid()

    alive = Any_.remote()
    pid = ray.get(alive.pid.remote(), timeout=60)
    where = f"ALIVE on node {ray_runtime.node_address()}, process {pid}"
    assert ray_runtime.actor_state(alive) == where
    assert in_a_task(ray_runtime.actor_state, alive) == where
    ray.kill(alive)
    wait_until(lambda: str(ray_runtime.actor_state(alive)).startswith("DEAD"))
    waiting = Any_.options(resources={"none of this cluster": 1}).remote()
    wait_until(lambda: ray_runtime.actor_state(waiting) == "PENDING_CREATION")
    assert ray_runtime.actor_state(object()) is None


def test_a_remote_function_is_unwrapped() -> None:
    """The function itself, and its options: those of the decorator, and of `.options()`."""

    def plain() -> None: ...

    for remote, expected in (
        (ray.remote(plain), {}),
        (ray.remote(num_cpus=0, max_retries=7)(plain), {"num_cpus": 0, "max_retries": 7}),
        (ray.remote(max_retries=7)(plain).options(max_retries=8), {"max_retries": 8}),
    ):
        function, options = ray_runtime.unwrap(remote)
        assert function is plain
        assert {name: options.get(name) for name in expected} == expected
    with pytest.raises(TypeError, match="no remote function"):
        ray_runtime.unwrap(plain)


def test_an_error_of_ray_is_a_line() -> None:
    """Colours and the middle of its tracebacks say nothing to who reads the message."""

    @ray.remote(max_retries=0)
    def fails() -> None:
        raise KeyError("what it was")

    with pytest.raises(KeyError) as caught:
        ray.get(fails.remote(), timeout=60)
    line = ray_runtime.in_a_line(caught.value)
    assert line.startswith("RayTaskError(KeyError): ")
    assert line.endswith("KeyError: 'what it was'")
    assert "\n" not in line
    assert "\x1b" not in line
