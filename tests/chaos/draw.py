"""Draws a plan from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from tests.chaos import draw_scenes
from tests.chaos.plan import (
    ALWAYS,
    Crew,
    Expiry,
    Image,
    Key,
    Kill,
    Leave,
    Mode,
    Plan,
    Rival,
    Story,
    Task,
    Work,
)
from tests.support.fault_proxy import EXPIRED, FATES, Weather

SALT = "chaos 7356"  # with it the first seeds, which every test run plays, show all of it
CLUSTER_EVERY = 8
POOLED = 0.3  # of the seeds
EXPIRING = 0.2  # of those whose drivers live
# What has Ray end a worker right after a call; a GPU is a number that only Ray knows.
ENDINGS = ({"max_calls": 1}, {"max_calls": 2}, {"max_calls": 3}, {"num_gpus": 0.1})
MOST_ACTORS = 6
MOST_ENDINGS = 8  # tasks: a worker takes the better part of a second to start


def is_on_cluster(seed: int) -> bool:
    """Whether the seed runs on three raylets."""
    return seed % CLUSTER_EVERY == CLUSTER_EVERY - 1


def draw(seed: int) -> Plan:
    """Returns the plan of a seed; always the same."""
    if draw_scenes.plays_scenes(seed):
        rng = random.Random(f"{draw_scenes.SALT} plan {seed}")
        scenes = draw_scenes.scenes(rng, seed)
        kills = draw_scenes.kills(rng, seed, on_cluster=is_on_cluster(seed))
        return Plan(seed, _weather(rng, scenes[0].story), kills, scenes)
    rng = random.Random(f"{SALT} {seed}")
    stories = ["plain", "driver killed", "job ends", "two trackers", "deleted"]
    story: Story = rng.choices(stories, [45, 8, 12, 27, 8])[0]
    images = [_image(rng, f"seed-{seed}", story)]
    if rng.random() < 0.4:
        images.append(_image(rng, f"seed-{seed}-too", "plain"))
    weather = _weather(rng, story)
    if random.Random(f"{SALT} pool {seed}").random() < POOLED:
        images = [replace(image, pool=f"seed-{seed}") for image in images]
    kills = _kills(rng, seed, weather, images)
    expiry = None
    if rng.random() < EXPIRING and story not in ("driver killed", "job ends"):
        refusal = rng.choice(list(EXPIRED))
        expiry = Expiry(rng.uniform(0.0, 1.5), rng.uniform(0.5, 2.0), refusal)
    return Plan(seed, weather, kills, tuple(images), expiry)


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


def rest_of(work: Work, pending: Iterable[Key], rng: random.Random) -> Work:
    """Returns what is left of a work for a resume: other tasks, in another mode."""
    tasks = tasks_for(rng, work.sizes, pending, failing=0.3, seconds=1.0)
    mode: Mode = rng.choices(["map", "tasks", "actors"], [50, 30, 20])[0]
    crew = _crew(rng, len(tasks)) if mode == "actors" else None
    return replace(work, tasks=tasks, mode=mode, ending={}, crew=crew)


def _image(rng: random.Random, image_id: str, story: Story) -> Image:
    failing = rng.choice([0.0, 0.1, 0.3])
    if story == "plain":
        return Image(image_id, story, _work(rng, failing=failing))
    if story == "driver killed":
        how = rng.choice(["resume", "resume", "redrive"])
        rival = Rival(how, rng.uniform(0.3, 2.5), apart=False)
        return Image(image_id, story, _work(rng, failing=failing, mode="map"), None, rival)
    if story == "job ends":
        work = _work(rng, failing=failing)
        how = rng.choice(["end", "sys.exit", "SIGTERM", "ray.shutdown"])
        leave = Leave(how, rng.randint(1, max(1, 2 * len(work.tasks) // 3)), rng.uniform(0.0, 2.5))
        rival = Rival(rng.choice(["resume", "resume", "redrive"]), None, apart=False)
        return Image(image_id, story, work, None, rival, leave)
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
    mode: Mode | None = None,
    sizes: Sequence[int] | None = None,
) -> Work:
    modes: list[Mode] = ["map", "tasks", "ending", "actors", "driver"]
    mode = mode or rng.choices(modes, [42, 14, 14, 18, 12])[0]
    ends = mode == "ending" or (mode == "map" and rng.random() < 0.25)
    if sizes is None:
        largest = rng.choice([1, 3, 6])
        most = MOST_ENDINGS if ends else 24
        sizes = [rng.randint(1, largest) for _ in range(rng.randint(3, most))]
    elif ends and len(sizes) > MOST_ENDINGS:
        mode, ends = "tasks", False
    keys: list[Key] = list(range(len(sizes)))
    if rng.random() < 0.5 and not ends:
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
        rng.choice(ENDINGS) if ends else {},
        _crew(rng, len(keys)) if mode == "actors" else None,
    )


def _crew(rng: random.Random, tasks: int) -> Crew:
    return Crew(
        rng.choice(["sync", "async", "threaded"]),
        rng.choice(["scope", "dropped", "kill", "kill", "terminate"]),
        max(rng.randint(1, 6), -(-tasks // MOST_ACTORS)),
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


def _kills(
    rng: random.Random, seed: int, weather: Weather, images: Sequence[Image]
) -> tuple[Kill, ...]:
    # Where processes end in order, all that they told is in the image's actor only.
    actors_alone = any(image.first.mode in ("ending", "actors") or image.leave for image in images)
    whom: list[str] = []
    whom += ["actor"] * rng.choice([0, 0, 0, 1] if actors_alone else [0, 0, 1, 1, 2])
    whom += ["worker"] * rng.choice([0, 0, 1, 1, 2])
    whom += ["idle worker"] * rng.choice([0, 0, 1])
    if is_on_cluster(seed):
        whom.append("node")
    kills = [Kill(rng.uniform(0.2, 3.0), w, rng.random()) for w in whom]
    if not actors_alone:
        # An actor that dies while the table is away takes with it all that it was told since.
        kills += [
            Kill(at + seconds * rng.uniform(0.3, 1.0), "actor", rng.random())
            for at, seconds in weather.outages
        ]
    return tuple(sorted(kills))
