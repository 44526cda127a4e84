"""Draws the scenes of the seeds that play `process_image`."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.chaos.plan import ALWAYS, Image, Kill, Leave, Poison, Rival, Scene, Story, Work
from tests.chaos.scene import sizes

SALT = "scenes 57829"
SHARED_OUT = "who plays scenes 282"  # of the first twelve seeds, the last two; other seeds stay
SHARE = 0.25  # of the seeds
ASSEMBLERS = 0.5  # in so many of them, somebody who assembles is killed
CPU_SECONDS = (4.0, 9.0)
STORIES: list[Story] = ["plain", "driver killed", "job ends"]


def plays_scenes(seed: int) -> bool:
    """Whether the seed's images are scenes."""
    return random.Random(f"{SHARED_OUT} {seed}").random() < SHARE


def scenes(rng: random.Random, seed: int) -> tuple[Image, ...]:
    """Returns the images of such a seed."""
    story = rng.choices(STORIES, [60, 25, 15])[0]
    if story == "plain" and rng.random() < 0.3:
        first = _scene(rng)
        shared = first.model is not None and rng.random() < 0.7
        pair = [first, replace(_scene(rng), model=first.model) if shared else _scene(rng)]
        names = (f"seed-{seed}", f"seed-{seed}-too")
        retries = rng.choice([0, 1, 2])
        return tuple(
            Image(name, story, _work(rng, replace(scene, shared=shared), retries))
            for name, scene in zip(names, pair, strict=True)
        )
    scene = _scene(rng)
    work = _work(rng, scene, rng.choice([0, 1, 2, 2]))
    if story == "plain":
        return (Image(f"seed-{seed}", story, work),)
    leave = Leave(rng.choice(["SIGINT", "SIGTERM"]), 0, 0.0) if story == "job ends" else None
    rival = Rival(rng.choice(["resume", "resume", "redrive"]), rng.uniform(0.0, 5.0), apart=False)
    healed = replace(scene, poisons=rng.choice([{}, _poisons(rng, scene)]))
    second = replace(work, scene=healed, max_retries=rng.choice([0, 1, 2]))
    return (Image(f"seed-{seed}", story, work, second, rival, leave),)


def kills(rng: random.Random, seed: int, *, on_cluster: bool) -> tuple[Kill, ...]:
    """Returns whom to kill, and when: a driver of its own takes seconds to begin."""
    apart = random.Random(f"{SALT} assemblers {seed}")  # other seeds stay as they were
    aimed = [Kill(0.0, "assembler", apart.random())] * (apart.random() < ASSEMBLERS)
    aimed *= apart.choice([1, 1, 2])
    whom = ["actor"] * rng.choice([0, 0, 1, 1, 2])
    whom += ["worker"] * rng.choice([0, 0, 1, 2, 3])
    whom += ["idle worker"] * rng.choice([0, 0, 1])
    if on_cluster:
        whom.append("node")
    drawn = sorted(Kill(rng.uniform(1.0, 6.0), w, rng.random()) for w in whom)
    return (*aimed, *drawn)


def _work(rng: random.Random, scene: Scene, retries: int) -> Work:
    interval = rng.choice([0.05, 0.1, 0.3, 1.0])
    return Work(sizes(scene), "scene", (), retries, True, interval, 1000, scene=scene)


def _scene(rng: random.Random) -> Scene:
    least = rng.randint(1, 3)
    model = rng.choice([None, (least, least), (least, rng.randint(least, 3))])
    gpus = model is None and rng.random() < 0.2
    # With GPUs each chunk costs a worker, which takes the better part of a second to start.
    shape = rng.randint(3, 5 if gpus else 17), rng.randint(7, 17)
    tile, overlap = rng.randint(16, 32), rng.choice([0, 0, 5])
    scene = Scene(
        shape,
        (rng.randint(1, 8), rng.randint(1, 8)),
        tile,
        overlap,
        rng.choice([0, rng.randrange(tile - overlap)]),
        rng.choice(["clip", "pad"]),
        rng.uniform(*CPU_SECONDS) / (shape[0] * shape[1]),
        rng.choice([None, None, 2, 4, 8]),
        model,
        gpus,
        rng.random() < 0.5,
        rng.random() < 0.7,
        False,
        {},
    )
    return replace(scene, poisons=_poisons(rng, scene))


def _poisons(rng: random.Random, scene: Scene) -> dict[int, Poison]:
    rows, columns = scene.shape
    numbers = rng.sample(range(rows * columns), rng.choice([0, 0, 1, 3, 6]))
    poisons = {n: Poison(False, rng.choice([1, 2, ALWAYS])) for n in sorted(numbers)}
    if rng.random() < 0.2:  # each costs some deaths, and a worker takes a second to start
        poisons[rng.randrange(rows * columns)] = Poison(True, rng.choice([1, ALWAYS]))
    return poisons
