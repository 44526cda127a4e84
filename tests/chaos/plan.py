"""What a seed draws: images, tasks, the weather at the table, kills, and rivals."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from tests.support.fault_proxy import FATES, Weather

CLUSTER_EVERY = 8
SALT = "chaos 237"  # with it the first ten seeds, which every test run plays, show most of it
POOLED = 0.3  # of the seeds
ALWAYS = 99  # attempts that raise: more than Ray makes

Key = int | tuple[int, int]
Story = Literal["plain", "driver killed", "two trackers", "deleted"]


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
class Work:
    """One run of an image: how it is cut, and how its tasks report.

    Attributes:
        sizes: The tiles of each region.
        mode: "map": `map_unordered`; "tasks": tasks that report, and a driver that runs again what
            stays pending; "driver": reports of the driver's own.
        tasks: In the order in which they are submitted.
        max_retries: Ray's, of each task.
        retry_exceptions: Whether an attempt that raises is tried again.
        flush_interval: Seconds.
        flush_every: After so many results the driver flushes.
    """

    sizes: tuple[int, ...]
    mode: Literal["map", "tasks", "driver"]
    tasks: tuple[Task, ...]
    max_retries: int
    retry_exceptions: bool
    flush_interval: float
    flush_every: int

    @property
    def tile_count(self) -> int:
        """The tiles of the image."""
        return sum(self.sizes)


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
class Image:
    """What becomes of one image.

    Attributes:
        image_id: Its id.
        story: What happens to it.
        first: Its first run.
        second: The run that a rival starts; None: it goes on with the first one's.
        rival: Who comes in between.
        pool: The pool that hosts it, if one does; a rival from apart has another.
    """

    image_id: str
    story: Story
    first: Work
    second: Work | None = None
    rival: Rival | None = None
    pool: str | None = None


@dataclass(frozen=True, order=True)
class Kill:
    """A `kill -9`.

    Attributes:
        second: After the start.
        whom: The image's actor, a worker that runs a task, one that is idle, or a raylet.
        choice: Which of them, from 0 to 1.
    """

    second: float
    whom: Literal["actor", "worker", "idle worker", "node"]
    choice: float


@dataclass(frozen=True)
class Plan:
    """All that a seed draws."""

    seed: int
    weather: Weather
    kills: tuple[Kill, ...]
    images: tuple[Image, ...]

    def __str__(self) -> str:
        weather = self.weather
        lines = [
            "weather  " + ", ".join(f"{f} {100 * c:.1f} %" for f, c in weather.chances.items())
        ]
        lines += [f"outage   at {at:.1f} s for {seconds:.1f} s" for at, seconds in weather.outages]
        lines += [f"kill     at {kill.second:.1f} s: {kill.whom}" for kill in self.kills]
        for image in self.images:
            pooled = f", in pool {image.pool}" if image.pool else ""
            lines.append(
                f"image    {image.image_id}: {image.story}{_rival_text(image.rival)}{pooled}"
            )
            for work in (image.first, image.second):
                if work:
                    lines.append(
                        f"  work   {work.mode}, regions of {list(work.sizes)} tiles, "
                        f"{len(work.tasks)} tasks, max_retries={work.max_retries}, "
                        f"retry_exceptions={work.retry_exceptions}, flush_interval="
                        f"{work.flush_interval:.2f}, failing {_failing(work)}"
                    )
        return "\n".join(lines)


def is_on_cluster(seed: int) -> bool:
    """Whether the seed runs on three raylets."""
    return seed % CLUSTER_EVERY == CLUSTER_EVERY - 1


def draw(seed: int) -> Plan:
    """Returns the plan of a seed; always the same."""
    rng = random.Random(f"{SALT} {seed}")
    story: Story = rng.choices(
        ["plain", "driver killed", "two trackers", "deleted"], [45, 10, 35, 10]
    )[0]
    images = [_image(rng, f"seed-{seed}", story)]
    if rng.random() < 0.4:
        images.append(_image(rng, f"seed-{seed}-too", "plain"))
    weather = _weather(rng, story)
    if random.Random(f"{SALT} pool {seed}").random() < POOLED:
        images = [replace(image, pool=f"seed-{seed}") for image in images]
    return Plan(seed, weather, _kills(rng, seed, weather), tuple(images))


def tasks_for(
    rng: random.Random, sizes: Sequence[int], keys: Iterable[Key], *, failing: float, seconds: float
) -> tuple[Task, ...]:
    """Returns tasks for these keys that take so many seconds together, on four CPUs."""
    keys = list(keys)
    firsts = [0, *accumulate(sizes)]
    tasks = []
    for key in keys:
        region, *tile = key if isinstance(key, tuple) else (key,)
        tiles = tile or range(sizes[region])
        inside = ()
        if len(tiles) > 1 and rng.random() < 0.5:
            some = rng.sample(tiles, rng.randint(1, len(tiles)))
            inside = tuple((t, rng.random() < failing) for t in some)
        tasks.append(
            Task(
                key,
                tuple(firsts[region] + t for t in tiles),
                rng.uniform(0.5, 1.5) * seconds * 4 / len(keys),
                rng.choices([0, rng.randint(1, 2), ALWAYS], [0.9 - failing, 0.1, failing])[0],
                inside,
                rng.random() < 0.05,
            )
        )
    return tuple(tasks)


def _image(rng: random.Random, image_id: str, story: Story) -> Image:
    failing = rng.choice([0.0, 0.1, 0.3])
    if story == "plain":
        return Image(image_id, story, _work(rng, failing=failing))
    if story == "driver killed":
        how = rng.choice(["resume", "resume", "redrive"])
        rival = Rival(how, rng.uniform(0.3, 2.5), apart=False)
        return Image(image_id, story, _work(rng, failing=failing, mode="map"), None, rival)
    if story == "deleted":
        rival = Rival("restart", rng.uniform(0.2, 2.0), apart=rng.random() < 0.4)
    else:
        how = rng.choice(["restart", "resume"])
        after = rng.choice([0, None, *[rng.uniform(0.1, 2.0) for _ in range(4)]])
        rival = Rival(how, after, apart=rng.random() < 0.4)
    # Nothing of the first fails where tiles of the second do, so that a leak shows.
    first = _work(rng, failing=0.0)
    if rival.how == "resume":
        return Image(image_id, story, first, None, rival)
    sizes = first.sizes if rng.random() < 0.6 else None
    return Image(image_id, story, first, _work(rng, failing=0.4, sizes=sizes), rival)


def _work(
    rng: random.Random,
    *,
    failing: float,
    mode: str | None = None,
    sizes: Sequence[int] | None = None,
) -> Work:
    if sizes is None:
        largest = rng.choice([1, 3, 6])
        sizes = [rng.randint(1, largest) for _ in range(rng.randint(3, 24))]
    mode = mode or rng.choices(["map", "tasks", "driver"], [55, 30, 15])[0]
    keys: list[Key] = list(range(len(sizes)))
    if rng.random() < 0.5:
        keys = [(region, tile) for region in keys for tile in range(sizes[region])]
    rng.shuffle(keys)
    return Work(
        tuple(sizes),
        mode,
        tasks_for(rng, sizes, keys, failing=failing, seconds=rng.uniform(0.8, 2.2)),
        rng.choice([0, 1, 3, 3]),
        rng.random() < 0.6,
        rng.choice([0.05, 0.1, 0.3, 1.0]),
        rng.choice([5, 20, 1000]),
    )


def _weather(rng: random.Random, story: Story) -> Weather:
    outages = ((rng.uniform(0.0, 2.5), rng.uniform(0.5, 3.0)),) if rng.random() < 0.3 else ()
    if rng.random() < (0.15 if story == "plain" else 0.4):
        # The two that are worst together: what was applied is tried again, and comes late.
        return Weather({"lose response": 0.3, "hold back": 0.3}, outages=outages)
    rate = rng.choice([0.0, 0.05, 0.1, 0.2, 0.35])
    # A seed has a few kinds of fault only: what holds back must leave newer requests alone.
    kinds = rng.sample(FATES, rng.randint(1, len(FATES)))
    weights = [rng.random() * (0.3 if "late" in f or "silently" in f else 1.0) for f in kinds]
    chances = {f: rate * w / sum(weights) for f, w in zip(kinds, weights, strict=True)}
    if rng.random() < 0.3:
        chances["hold back"] = chances.get("hold back", 0.0) + rng.choice([0.1, 0.2])
    return Weather(chances, outages=outages)


def _kills(rng: random.Random, seed: int, weather: Weather) -> tuple[Kill, ...]:
    whom: list[str] = []
    whom += ["actor"] * rng.choice([0, 0, 1, 1, 2])
    whom += ["worker"] * rng.choice([0, 0, 1, 1, 2])
    whom += ["idle worker"] * rng.choice([0, 0, 1])
    if is_on_cluster(seed):
        whom.append("node")
    kills = [Kill(rng.uniform(0.2, 3.0), w, rng.random()) for w in whom]
    # An actor that dies while the table is away takes with it all that it was told since.
    kills += [
        Kill(at + seconds * rng.uniform(0.3, 1.0), "actor", rng.random())
        for at, seconds in weather.outages
    ]
    return tuple(sorted(kills))


def _rival_text(rival: Rival | None) -> str:
    if rival is None:
        return ""
    when = "once it has ended" if rival.after is None else f"after {rival.after:.1f} s"
    return f", {rival.how} {when}{' from apart' if rival.apart else ''}"


def _failing(work: Work) -> str:
    always = [task.key for task in work.tasks if task.failures == ALWAYS]
    return f"{always}, and {sum(0 < t.failures < ALWAYS for t in work.tasks)} at first"
