"""How a process finds the actor of an image, starts it, and calls it."""

from __future__ import annotations

import functools
from concurrent.futures import Future
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..ray_runtime import head_node, in_local_mode
from .host import ImageActor
from .spec import Spec

NAMESPACE = "raytracker"

# Ray's local mode has one current actor for the whole process, and aborts when a thread calls an
# actor while a task runs. There the images are hosted by plain objects, called without Ray.
_hosts_here: dict[str, ImageActor] = {}


class Call(NamedTuple):
    """A call of an image's actor.

    Attributes:
        future: Its answer, or Ray's error.
        reference: Ray's reference of it; None where it was answered without Ray.
    """

    future: Future[Any]
    reference: Any | None

    def wait(self, timeout: float) -> bool:
        """Waits for the answer as Ray sees it, for so many seconds; returns whether it came.

        A task that waits unseen keeps its CPU from those that it waits for.
        """
        if self.reference is None:
            return True
        ready, _ = ray.wait([self.reference], timeout=max(0.0, timeout), fetch_local=False)
        return bool(ready)


def submit(handle: Any, method: str, *args: object) -> Call:
    """Calls a method of an image's actor.

    Args:
        handle: What `find` or `find_or_start` returned.
        method: The method's name.
        args: Its arguments.
    """
    if not isinstance(handle, ImageActor):
        reference = getattr(handle, method).remote(*args)
        return Call(reference.future(), reference)
    future: Future[Any] = Future()
    try:
        future.set_result(getattr(handle, method)(*args))
    except Exception as err:
        future.set_exception(err)
    return Call(future, None)


def call(handle: Any, method: str, *args: object) -> Future[Any]:
    """Calls a method of an image's actor, as `submit` does; returns the future only."""
    return submit(handle, method, *args).future


def ask(handle: Any, method: str, *args: object, timeout: float) -> Any:
    """Calls a method of an image's actor and waits for its answer, in a way that Ray can see.

    Args:
        handle: What `find` or `find_or_start` returned.
        method: The method's name.
        args: Its arguments.
        timeout: Seconds to wait.

    Raises:
        RayError: Ray's error; GetTimeoutError where the answer did not come in time.
    """
    if isinstance(handle, ImageActor):
        return getattr(handle, method)(*args)
    return ray.get(getattr(handle, method).remote(*args), timeout=max(0.0, timeout))


def find(spec: Spec) -> Any | None:
    """Returns a handle of the image's actor, or None where none is alive."""
    if in_local_mode():
        return _hosts_here.get(spec.actor_name)
    try:
        return ray.get_actor(spec.actor_name, namespace=NAMESPACE)
    except ValueError:
        return None


def find_or_start(spec: Spec) -> Any:
    """Returns a handle of the image's actor, which is started where none is alive."""
    if in_local_mode():
        return _hosts_here.setdefault(spec.actor_name, ImageActor())
    return find(spec) or _start(spec)


@functools.cache
def _actor_class() -> Any:
    return ray.remote(ImageActor)  # anew for each image, Ray would send it anew, which takes 70 ms


def _start(spec: Spec) -> Any:
    # On the head node, which outlives the workers. By its id, not by its resource, of which so many
    # images would have a part and no more; and not `soft`, which Ray does not heed for an actor
    # without resources. Should that node be lost and another one become the head, this actor is
    # dead, and whoever needs it starts it there. Being said at all, it also takes the actor out of
    # a placement group that catches what is started in it, and would end it with the group.
    head = head_node()
    where = NodeAffinitySchedulingStrategy(head, soft=False) if head else "DEFAULT"
    return (
        _actor_class()
        .options(
            name=spec.actor_name,
            namespace=NAMESPACE,
            get_if_exists=True,  # others may start it meanwhile
            # A handle got by name is weak, and an actor that belongs to the task which happened to
            # start it would die with that task.
            lifetime="detached",
            num_cpus=0,
            scheduling_strategy=where,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .remote()
    )
