"""Has tasks and actors of the user's do a work that reports by itself, and ends them in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from tests.chaos.plan import Crew, Task, Work
from tests.chaos.work import AsyncHand, Hand, reporting

ACTORS_AT_A_TIME = 3  # of four CPUs

Done = tuple[Task, Exception | None]


def done(work: Work, tasks: Sequence[Task], *arguments: Any) -> Iterator[Done]:
    """Runs tasks as their work says; yields each as it has finished, with what it failed with.

    Args:
        work: Says how.
        tasks: Which.
        arguments: What each is called with, beside the task.
    """
    if work.crew:
        return _by_actors(work.crew, tasks, arguments)
    return _by_tasks(work, tasks, arguments)


def options(work: Work) -> dict[str, Any]:
    """Returns what `ray.remote` takes for a task of a work."""
    return {
        "num_cpus": 1,
        "max_retries": work.max_retries,
        "retry_exceptions": work.retry_exceptions,
        "scheduling_strategy": "SPREAD",
        **work.ending,
    }


def _by_tasks(work: Work, tasks: Sequence[Task], arguments: Sequence[Any]) -> Iterator[Done]:
    function = ray.remote(**options(work))(reporting)
    running = {function.remote(*arguments, task, work.retries): task for task in tasks}
    while running:
        reference, error = _next(running)
        yield running.pop(reference), error


def _by_actors(crew: Crew, tasks: Sequence[Task], arguments: Sequence[Any]) -> Iterator[Done]:
    shares = [tasks[i : i + crew.share] for i in range(0, len(tasks), crew.share)][::-1]
    actors: dict[int, Any] = {}
    running: dict[Any, tuple[int, Task]] = {}
    while shares or running:
        while shares and len({number for number, _ in running.values()}) < ACTORS_AT_A_TIME:
            number = len(shares)
            actors[number] = _actor(crew)
            for task in shares.pop():
                running[actors[number].work.remote(*arguments, task)] = number, task
            if crew.end == "dropped":
                del actors[number]
        reference, error = _next(running)
        number, task = running.pop(reference)
        if number in actors and all(other != number for other, _ in running.values()):
            _end(crew, actors.pop(number))
        yield task, error


def _actor(crew: Crew) -> Any:
    of = AsyncHand if crew.kind == "async" else Hand
    concurrency = {"threaded": {"max_concurrency": 2}, "async": {"max_concurrency": 3}}
    return (
        ray.remote(of)
        .options(num_cpus=1, scheduling_strategy="SPREAD", **concurrency.get(crew.kind, {}))
        .remote()
    )


def _end(crew: Crew, actor: Any) -> None:
    """Ends an actor whose results were taken; if it only is in no scope any more, Ray does."""
    if crew.end == "kill":
        ray.kill(actor)
    elif crew.end == "terminate":
        actor.__ray_terminate__.remote()


def _next(running: dict[Any, Any]) -> tuple[Any, Exception | None]:
    """Waits for one to finish; returns its reference, and what it failed with."""
    [reference], _ = ray.wait(list(running))
    try:
        ray.get(reference)
    except Exception as err:
        return reference, err
    return reference, None
