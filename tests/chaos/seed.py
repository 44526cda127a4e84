"""Plays one seed on a cluster, and compares what is in the table with what the oracle knows."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import NamedTuple

from raytracker import ImageTracker, JobTable
from raytracker.errors import FlushTimeout, JobVanished, TrackerSuperseded, WaitTimeout
from raytracker.job_table import ledger_of
from raytracker.run import patiently
from tests.chaos.cluster import ACTOR, Cluster, processes
from tests.chaos.credentials import Renewal
from tests.chaos.draw import rest_of
from tests.chaos.journal import SUCCESS, Journal, ranks
from tests.chaos.killer import Killer
from tests.chaos.oracle import differences
from tests.chaos.plan import Image, Plan, Work
from tests.chaos.run import Lost, Run, renewing
from tests.chaos.scanner import Finding, Scanner
from tests.chaos.scene_run import shared_workers
from tests.chaos.scene_story import SceneStory
from tests.support.fault_proxy import FaultProxy

REGION = "us-east-1"
APART = "chaos-apart"  # another name of the same table, and so another actor for the same image
LEAVE_SECONDS = 60.0
DELIVERY_SECONDS = 1.5  # what was not worth a wait has reached the actor by then
ARRIVE_SECONDS = 20.0  # an outage, and the pause before the next try


@dataclass(frozen=True)
class Place:
    """Where seeds are played.

    Attributes:
        cluster: The Ray.
        upstream: The DynamoDB's URL.
        table: The job table's name.
        folder: For journals.
        credentials: The file with AWS credentials.
    """

    cluster: Cluster
    upstream: str
    table: str
    folder: Path
    credentials: Path


class Played(NamedTuple):
    """How a seed ended.

    Attributes:
        findings: What was wrong.
        regions: How many its images have.
        requests: How many writes DynamoDB answered.
        events: What befell it, in words.
    """

    findings: tuple[Finding, ...]
    regions: int
    requests: int
    events: tuple[str, ...]


@dataclass
class Ending:
    """The runs of an image, the last one first where that is known."""

    runs: list[Run]
    inherits: bool = False
    redrive: bool = False
    driver_gone: bool = False
    findings: list[Finding] = field(default_factory=list)


class Game:
    """One seed, being played."""

    def __init__(self, place: Place, plan: Plan, stack: ExitStack) -> None:
        self._place = place
        self._plan = plan
        weather, seed = plan.weather, plan.seed
        self._proxies = [
            FaultProxy(place.upstream, weather, seed=seed),
            FaultProxy(place.upstream, weather, seed=f"{seed} apart", alias=(APART, place.table)),
        ]
        for proxy in self._proxies:
            proxy.__enter__()  # for good: actors and workers linger, and shall find it calm
        names = (place.table, APART)
        self._tables = [
            JobTable(name, endpoint_url=proxy.endpoint_url, region_name=REGION)
            for name, proxy in zip(names, self._proxies, strict=True)
        ]
        self._direct = JobTable(place.table, endpoint_url=place.upstream, region_name=REGION)
        others = {p.pid for p in processes() if p.name.startswith(ACTOR)}  # lingering
        self._scanner = stack.enter_context(
            Scanner(self._direct, [image.image_id for image in plan.images])
        )
        self._killer = stack.enter_context(Killer(place.cluster, plan.kills, spared=others))
        self._renewal = stack.enter_context(
            Renewal(place.credentials, plan.expiry, self._proxies, seed)
        )
        self._first = threading.Barrier(len(plan.images), self._renewal.begin)
        self._workers = stack.enter_context(shared_workers(plan.images, place.folder))

    def play(self) -> Played:
        """Plays it to its end, and compares."""
        images = self._plan.images
        with ThreadPoolExecutor(len(images)) as pool:
            stories = [(image, pool.submit(self._tell, image)) for image in images]
        self._killer.end()
        for proxy in self._proxies:
            proxy.calm()
        findings = [finding for image, told in stories for finding in self._verify(image, told)]
        return Played(
            tuple(self._scanner.findings + findings),
            sum(len(image.first.sizes) for image in images),
            sum(p.requests["UpdateItem"] + p.requests["PutItem"] for p in self._proxies),
            tuple(
                self._killer.events
                + self._renewal.events
                + [str(event) for proxy in self._proxies for event in proxy.events]
            ),
        )

    def _tell(self, image: Image) -> Ending | SceneStory:
        try:
            return self._scene(image) if image.first.scene else self._story(image)
        finally:
            self._first.abort()  # or another image would wait for one that did not begin

    def _story(self, image: Image) -> Ending:
        if image.story == "plain":
            run = self._begin_first(image)
            run.drive()
            return Ending([run])
        if image.story in ("driver killed", "job ends"):
            return self._lose_the_driver(image)
        return self._fight(image)

    def _scene(self, image: Image) -> SceneStory:
        table, folder = self._tables[0], self._place.folder
        story = SceneStory(image, folder, table, self._killer, self._scanner, self._workers)
        if image.rival is None:
            story.play()
            return story
        with _driver(self._place, self._plan.seed, image, table) as (process, _):
            story.lose(process)
        story.go_on()
        return story

    def _begin_first(self, image: Image) -> Run:
        run = self._begin(image, image.first, "a", "error")
        self._first_has_begun()
        return run

    def _first_has_begun(self) -> None:
        """Has the credentials' time run from when all first runs have begun."""
        with suppress(threading.BrokenBarrierError):
            self._first.wait()

    def _begin(self, image: Image, work: Work, label: str, how: str, *, apart: bool = False) -> Run:
        """Begins a run, as `ImageTracker.start` does; of a resume, only what is pending runs."""
        pool = f"{image.pool}-apart" if image.pool and apart else image.pool
        tracker = renewing(
            lambda: ImageTracker.start(
                image.image_id,
                regions=work.sizes,
                table=self._tables[apart],
                if_exists=how,
                take_over=True,
                flush_interval=work.flush_interval,
                pool=pool,
            )
        )
        return self._run(tracker, work, label)

    def _run(self, tracker: ImageTracker, work: Work, label: str) -> Run:
        return Run(tracker, work, label, self._place.folder, self._scanner, self._killer)

    def _rest(self, run: Run) -> None:
        """Narrows a resumed run to what is pending."""
        rng = random.Random(f"{self._plan.seed} rest")
        pending = renewing(run.tracker.pending_tiles)
        run.work = rest_of(run.work, pending, rng)

    def _lose_the_driver(self, image: Image) -> Ending:
        """Has the first driver killed, or end in order; another goes on."""
        assert image.rival is not None
        table, work, redrive = self._tables[0], image.first, image.rival.how == "redrive"
        with _driver(self._place, self._plan.seed, image, table) as (process, run):
            self._first_has_begun()
            if image.rival.after is None:
                process.wait(LEAVE_SECONDS)
            else:
                time.sleep(image.rival.after)
                process.kill()
        first = self._run(ImageTracker.attach(image.image_id, table=table), work, "a")
        assert first.tracker.run == run
        findings = [] if image.leave is None else list(self._missing(first, process.pid))
        if redrive:
            tracker = ImageTracker.resume(
                image.image_id,
                table=table,
                redrive=True,
                take_over=True,
                flush_interval=work.flush_interval,
                pool=image.pool,
            )
            second = self._run(tracker, work, "b")
        else:
            second = self._begin(image, work, "b", "resume")
        self._rest(second)
        second.drive()
        return Ending(
            [second, first], inherits=True, redrive=redrive, driver_gone=True, findings=findings
        )

    def _missing(self, run: Run, driver: int) -> Iterator[Finding]:
        """Compares the item with what a driver that ended in order told, or had the results of."""
        if not any(line["event"] == "left" for line in run.journal.lines()):
            yield Finding("broken", f"{run.tracker.image_id}: its driver did not come so far")
            return
        end = time.monotonic() + ARRIVE_SECONDS
        while True:
            item = self._scanner.look(run.tracker.image_id)
            tiles = ranks(ledger_of(item).tile_outcomes()) if item else bytes(run.work.tile_count)
            expected = self._expected(run.journal, driver)
            missing = {n: o for n, o in expected.items() if tiles[n] < o}
            if not missing:
                return
            if time.monotonic() > end:
                text = f"told before its driver left, and not in the item: {missing}"
                yield Finding("lost", f"{run.tracker.image_id}: {text}")
                return
            time.sleep(0.1)

    def _expected(self, journal: Journal, driver: int) -> dict[int, int]:
        """Returns the outcomes that must be in the item by and by, once a driver has left in order.

        What it told itself, and what tasks did whose result it had taken, but for the last moments;
        or, if the image's actor was killed, what `flush` confirmed.
        """
        expected = journal.best("durable")
        if not self._killer.actors:
            left = next(line["at"] for line in journal.lines() if line["event"] == "left")
            until = left - DELIVERY_SECONDS
            taken = journal.best("taken", until=until)
            told = journal.best("told", lambda process: not self._killer.has_killed(process))
            own = journal.best("told", lambda process: process[0] == driver, until=until)
            there = {n: o for n, o in told.items() if n in taken and o == SUCCESS}
            for more in (own, there):
                expected |= {n: max(o, expected.get(n, o)) for n, o in more.items()}
        return expected

    def _fight(self, image: Image) -> Ending:
        rival = image.rival
        assert rival is not None
        how, other = rival.how, image.second or image.first
        if rival.after == 0:
            with ThreadPoolExecutor(2) as pool:
                a = pool.submit(self._begin, image, image.first, "a", how)
                b = pool.submit(self._begin, image, other, "b", how, apart=rival.apart)
            first, second = a.result(), b.result()
            self._first_has_begun()
            first.start()
        else:
            first = self._begin_first(image)
            first.start()
            if rival.after is None:
                first.join()
            else:
                time.sleep(rival.after)
            if image.story == "deleted":
                self._direct.table.delete_item(Key={"image_id": image.image_id})
            second = self._begin(image, other, "b", how, apart=rival.apart)
            if how == "resume":
                self._rest(second)
        second.start()
        for run in (first, second):
            run.join()
        item = patiently(lambda: self._direct.read(image.image_id))
        runs = sorted(
            (first, second), key=lambda run: item is None or run.tracker.run != item.tracker_run
        )
        return Ending(runs, inherits=how == "resume")

    def _verify(self, image: Image, story: Future[Ending | SceneStory]) -> Iterator[Finding]:
        if err := story.exception():
            kinds = {"lost": Lost, "hung": (FlushTimeout, WaitTimeout, TimeoutExpired)}
            kind = next((k for k, of in kinds.items() if isinstance(err, of)), "broken")
            yield Finding(kind, f"{image.image_id}: {type(err).__name__}: {err}{_where(err)}")
        elif isinstance(told := story.result(), SceneStory):
            item = self._scanner.look(image.image_id)
            for text in differences(item, told.run, told.known()):
                yield Finding("miscounted", f"{image.image_id}: {text}")
            yield from told.findings(item)
        else:
            yield from self._compare(image, told)

    def _compare(self, image: Image, ending: Ending) -> Iterator[Finding]:
        winner, *losers = ending.runs
        for loser in losers:
            if not ending.driver_gone:
                yield from _verify_loser(loser)
        item = self._scanner.look(image.image_id)
        known = winner.known(item and item.end_time and item.end_time / 1000)
        if ending.inherits:
            for loser in losers:
                before = loser.known()
                if ending.driver_gone:
                    before.forgive_errors()
                sight = self._scanner.sights.get((image.image_id, loser.tracker.run))
                known.after(before, sight.floor if sight else (), redrive=ending.redrive)
        yield from ending.findings
        for text in differences(item, winner, known):
            yield Finding("miscounted", f"{image.image_id}: {text}")


def _where(err: BaseException) -> str:
    frames = traceback.extract_tb(err.__traceback__)
    return "".join(f"\n      {Path(f.filename).name}:{f.lineno} {f.line}" for f in frames)


def play(place: Place, plan: Plan) -> Played:
    """Plays a seed."""
    with ExitStack() as stack:
        return Game(place, plan, stack).play()


def _verify_loser(loser: Run) -> Iterator[Finding]:
    """A run that was overtaken has been told so, and is told again when it tries to go on."""
    name = f"{loser.tracker.image_id}: run {loser.label}"
    if loser.job is not None:
        return  # it had ended before
    if loser.refused is None:
        yield Finding("broken", f"{name} was overtaken and not refused")
    try:
        loser.tracker.report(0)
        loser.tracker.flush(20)
    except (TrackerSuperseded, JobVanished):
        return
    yield Finding("broken", f"{name} was overtaken, and may report and flush")


@contextmanager
def _driver(
    place: Place, seed: int, image: Image, table: JobTable
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs an image's first run in a process of its own; gives it and the run, once it began."""
    command = [sys.executable, "-m", "tests.chaos.driver", str(seed), image.image_id]
    command += [place.cluster.address, str(table.endpoint_url), place.table, str(place.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            run = next((line.split()[1] for line in process.stdout if "BEGUN" in line), "")
            yield process, run
        finally:
            process.kill()
