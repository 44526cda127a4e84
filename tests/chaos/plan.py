"""What a seed draws: images, tasks, the weather at the table, kills, and rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.support.fault_proxy import Weather

ALWAYS = 99  # attempts that raise: more than Ray makes

Key = int | tuple[int, int]
Mode = Literal["map", "tasks", "ending", "actors", "driver", "scene"]
Story = Literal["plain", "driver killed", "job ends", "two trackers", "deleted"]


@dataclass(frozen=True)
class Task:
    """One Ray task, for a region or a tile.

    Attributes:
        key: The region, or (region, tile).
        numbers: Its tiles' numbers in the image.
        seconds: How long an attempt takes.
        failures: How many attempts raise before one does not.
        inside: (tile of the region, whether as an error), which the task reports itself.
        flushes: Whether the task flushes what it reported.
    """

    key: Key
    numbers: tuple[int, ...]
    seconds: float
    failures: int = 0
    inside: tuple[tuple[int, bool], ...] = ()
    flushes: bool = False


@dataclass(frozen=True)
class Crew:
    """Actors of the user's that work, each on a share of the tasks, and how they end in order.

    Attributes:
        kind: Threaded ones run two methods at a time.
        end: "scope": the handle is dropped once the last result was taken; "dropped": once all
            calls were submitted; "kill": `ray.kill` once the last result was taken; "terminate":
            `__ray_terminate__` then.
        share: So many tasks are for each actor.
    """

    kind: Literal["sync", "async", "threaded"]
    end: Literal["scope", "dropped", "kill", "terminate"]
    share: int


@dataclass(frozen=True)
class Poison:
    """What is wrong with a tile of a scene.

    Attributes:
        ends: Whether its function ends its process; else it raises.
        times: So often, then no more.
    """

    ends: bool
    times: int


@dataclass(frozen=True)
class Scene:
    """A picture for `process_image`, and how it is cut and run.

    Attributes:
        shape: Its (rows, columns) of tiles.
        block: Those of a region.
        tile: The size of a tile in pixels.
        overlap: Of tiles, in pixels.
        cut: So many pixels are missing below and at the right of the last tiles.
        edges: What becomes of these.
        seconds: How long a tile takes.
        batch: So many tiles a call; None: one.
        model: (least, most) workers with a model; None: a function.
        gpus: Whether each task asks for some: then Ray ends its process after each chunk.
        spread: Whether tasks or workers are spread over the nodes.
        output: Whether results are kept.
        shared: Whether its images share their workers.
        poisons: By tile.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    tile: int
    overlap: int
    cut: int
    edges: Literal["clip", "pad"]
    seconds: float
    batch: int | None
    model: tuple[int, int] | None
    gpus: bool
    spread: bool
    output: bool
    shared: bool
    poisons: Mapping[int, Poison]

    def __str__(self) -> str:
        how = [f"{self.shape} tiles of {self.tile} pixels, {1000 * self.seconds:.0f} ms each"]
        how.append(f"{self.edges} {self.cut}, overlap {self.overlap}, batch {self.batch}")
        how.append("a function" if self.model is None else f"{self.model} workers with a model")
        flags = ("gpus", "spread", "output", "shared")
        how += [flag for flag in flags if getattr(self, flag)]
        for number, poison in self.poisons.items():
            what = "ends its process" if poison.ends else "raises"
            when = "always" if poison.times == ALWAYS else f"{poison.times} times"
            how.append(f"tile {number} {what} {when}")
        return ", ".join(how)


@dataclass(frozen=True)
class Work:
    """One run of an image: how it is cut, and how its tasks report.

    Attributes:
        sizes: The tiles of each region.
        mode: "map": `map_unordered`; "tasks": tasks that report, and a driver that runs again what
            died with them; "ending": the same, and Ray ends their workers; "actors": methods of
            actors that report; "driver": reports of the driver's own; "scene": `process_image`.
        tasks: In the order in which they are submitted.
        max_retries: Ray's, of each task.
        retry_exceptions: Whether an attempt that raises is tried again.
        flush_interval: Seconds.
        flush_every: After so many results the driver flushes.
        ending: The options that have Ray end the workers of tasks; empty: it does not.
        crew: The actors of mode "actors".
        scene: The picture of mode "scene".
    """

    sizes: tuple[int, ...]
    mode: Mode
    tasks: tuple[Task, ...]
    max_retries: int
    retry_exceptions: bool
    flush_interval: float
    flush_every: int
    ending: Mapping[str, float] = field(default_factory=dict)
    crew: Crew | None = None
    scene: Scene | None = None

    @property
    def tile_count(self) -> int:
        """The tiles of the image."""
        return sum(self.sizes)

    @property
    def retries(self) -> int:
        """How often a task is tried again that raises."""
        return self.max_retries if self.retry_exceptions and not self.crew else 0

    def __str__(self) -> str:
        if self.scene:
            return f"{self.scene}, retries={self.max_retries}, regions of {list(self.sizes)} tiles"
        how = [self.mode, *(f"{name}={value}" for name, value in self.ending.items())]
        if self.crew:
            how.append(f"{self.crew.kind} for {self.crew.share} tasks each, {self.crew.end}")
        always = [task.key for task in self.tasks if task.failures == ALWAYS]
        at_first = sum(0 < task.failures < ALWAYS for task in self.tasks)
        return (
            f"{', '.join(how)}, regions of {list(self.sizes)} tiles, {len(self.tasks)} tasks, "
            f"max_retries={self.max_retries}, retry_exceptions={self.retry_exceptions}, "
            f"flush_interval={self.flush_interval:.2f}, failing {always}, and {at_first} at first"
        )


@dataclass(frozen=True)
class Rival:
    """The second run of an image.

    Attributes:
        how: How it begins.
        after: Seconds after the first began; 0: at once; None: once the first has ended.
        apart: Whether it has an actor of its own, as from another Ray cluster.
    """

    how: Literal["restart", "resume", "redrive"]
    after: float | None
    apart: bool


@dataclass(frozen=True)
class Leave:
    """How the driver of the first run ends in order, in mid-run.

    Attributes:
        how: It falls off its end, calls `sys.exit`, gets a SIGTERM or SIGINT, or flushes and calls
            `ray.shutdown`.
        after: So many results were taken; of a scene the rival's time counts.
        pause: Seconds from the last of these to the end.
    """

    how: Literal["end", "sys.exit", "SIGTERM", "SIGINT", "ray.shutdown"]
    after: int
    pause: float


@dataclass(frozen=True)
class Image:
    """What becomes of one image.

    Attributes:
        image_id: Its id.
        story: What happens to it.
        first: Its first run.
        second: The run that a rival starts; None: it goes on with the first one's.
        rival: Who comes in between.
        leave: How its driver leaves before the rival comes.
        pool: The pool that hosts it, if one does; a rival from apart has another.
    """

    image_id: str
    story: Story
    first: Work
    second: Work | None = None
    rival: Rival | None = None
    leave: Leave | None = None
    pool: str | None = None


@dataclass(frozen=True, order=True)
class Kill:
    """A `kill -9`.

    Attributes:
        second: After the start; of an assembler, the first of these after it.
        whom: The image's actor, a worker that runs a task, one that is idle, one that assembles
            an image, or a raylet.
        choice: Which of them, from 0 to 1.
    """

    second: float
    whom: Literal["actor", "worker", "idle worker", "assembler", "node"]
    choice: float


@dataclass(frozen=True)
class Expiry:
    """Credentials that expire, and are renewed.

    Attributes:
        second: After the first runs have begun.
        seconds: Until they are renewed.
        refusal: How DynamoDB refuses the old ones.
    """

    second: float
    seconds: float
    refusal: str


@dataclass(frozen=True)
class Plan:
    """All that a seed draws."""

    seed: int
    weather: Weather
    kills: tuple[Kill, ...]
    images: tuple[Image, ...]
    expiry: Expiry | None = None

    def __str__(self) -> str:
        weather = self.weather
        lines = [
            "weather  " + ", ".join(f"{f} {100 * c:.1f} %" for f, c in weather.chances.items())
        ]
        lines += [f"outage   at {at:.1f} s for {seconds:.1f} s" for at, seconds in weather.outages]
        lines += [f"kill     at {kill.second:.1f} s: {kill.whom}" for kill in self.kills]
        if self.expiry:
            lines.append(
                f"expiry   at {self.expiry.second:.1f} s for {self.expiry.seconds:.1f} s: "
                f"{self.expiry.refusal}"
            )
        for image in self.images:
            lines.append(f"image    {image.image_id}: {image.story}{_story_text(image)}")
            lines += [f"  work   {work}" for work in (image.first, image.second) if work]
        return "\n".join(lines)


def _story_text(image: Image) -> str:
    text = f", its driver leaves by {image.leave.how}" if image.leave else ""
    if rival := image.rival:
        when = "once it has ended" if rival.after is None else f"after {rival.after:.1f} s"
        text += f", {rival.how} {when}{' from apart' if rival.apart else ''}"
    return text + (f", in pool {image.pool}" if image.pool else "")
