"""The process that plays seeds, one after the other, on one Ray; it says how each ended."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.chaos import baseline, seed
from tests.chaos.cluster import Cluster
from tests.chaos.draw import draw
from tests.chaos.plan import Plan

_saying = threading.Lock()


def main(arguments: str) -> None:
    """Plays seeds; ends early after one with findings, whose leftovers would disturb the next.

    Args:
        arguments: JSON object: "seeds", "nodes", "baseline", "upstream", "table", "folder", and
            "say_to", the file descriptor to say it to: what Ray prints meanwhile shall not mix.
    """
    asked = json.loads(arguments)
    say = partial(_say, asked["say_to"])
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    cluster = Cluster(asked["nodes"])
    folder, credentials = Path(asked["folder"]), Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    place = seed.Place(cluster, asked["upstream"], asked["table"], folder, credentials)
    for number in asked["seeds"]:
        say("begin", seed=number)
        cluster.mend()
        plan = draw(number)
        with ThreadPoolExecutor(1) as pool:
            beside = None
            if asked["baseline"]:
                beside = pool.submit(_play_and_say, say, "baseline", baseline.play, place, plan)
            played = _play_and_say(say, "tracker", seed.play, place, plan)
            if beside:
                beside.result()
        say("end", seed=number)
        if played.findings:
            break
    cluster.close()


def _play_and_say(
    say: Callable[..., None],
    what: str,
    play: Callable[[seed.Place, Plan], seed.Played],
    place: seed.Place,
    plan: Plan,
) -> seed.Played:
    began = time.monotonic()
    played = play(place, plan)
    wrong = sum(finding.kind == "miscounted" for finding in played.findings)
    about = {"seconds": time.monotonic() - began, "images": len(plan.images), "miscounted": wrong}
    say(what, **about, **played._asdict())
    return played


def _say(to: int, what: str, **about: object) -> None:
    with _saying, os.fdopen(os.dup(to), "w") as stream:  # the baseline speaks, too
        stream.write(json.dumps({"what": what, **about}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
