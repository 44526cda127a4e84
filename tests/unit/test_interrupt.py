"""Interruptible in a thread: its result, its exception, and signals that leave it alone."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from raytracker.cli.interrupt import Interrupted, Interruptible, Signals, Terminated
from tests.support.command import environment

TWICE = """
import signal, sys, time
from raytracker.cli.interrupt import Interrupted, Interruptible
with Interruptible(lambda: time.sleep(60)) as work:
    print("ready", flush=True)
    try:
        work.result()
    except Interrupted as err:
        print(err, flush=True)
        work.join(60)
"""


def test_it_returns_what_the_work_returns():
    """And puts the handlers back."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruptible(lambda: 42) as work:
        assert work.result() == 42
        assert work.ended
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_it_raises_what_the_work_raises():
    """The exception itself."""
    with Interruptible(lambda: 1 / 0) as work, pytest.raises(ZeroDivisionError):
        work.result()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_work_as_it_is(number: signal.Signals):
    """The main thread is told, and the work goes on to its end."""
    goes_on = threading.Event()
    with Interruptible(lambda: goes_on.wait(10)) as work:
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=number.name) as told:
            work.result()
        assert told.value.number == number
        assert not work.ended
        assert not work.join(0.01)
        goes_on.set()
        assert work.join(10)


def test_a_signal_after_the_end_changes_nothing():
    """What is done is done."""
    with Interruptible(lambda: 42) as work:
        assert work.join(10)
        signal.raise_signal(signal.SIGINT)
        assert work.result() == 42


def test_the_second_signal_ends_the_process_at_once():
    """Whatever it is doing."""
    child = subprocess.Popen(
        [sys.executable, "-c", TWICE], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "SIGINT\n"
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == 130
    assert time.monotonic() - began < 5
    child.communicate()


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_breaks_off_or_waits(number: signal.Signals, error: type[BaseException]):
    """What came while it was to wait is raised afterwards, once."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        with pytest.raises(error):
            signal.raise_signal(number)
        signals.waiting()
        signal.raise_signal(number)
        with pytest.raises(error):
            signals.breaking_off()
        signals.breaking_off()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_second_signal_does_not_wait():
    """Who asks twice has the process end at once."""
    ended = _signalled_twice("    ")
    assert (ended.returncode, ended.stdout) == (143, "goes on\n")


def test_signals_do_nothing_once_all_is_done():
    """The process ends with its own status, also while Python puts itself away."""
    ended = _signalled_twice("")
    assert (ended.returncode, ended.stdout) == (0, "goes on\ngoes on\n")


def _signalled_twice(indent: str) -> subprocess.CompletedProcess[str]:
    """Runs a process that is signalled in a block of Signals that wait, or behind it."""
    code = (
        "import signal\nfrom raytracker.cli.interrupt import Signals\n"
        "with Signals() as signals:\n    signals.waiting()\n"
        f"{indent}for _ in range(2):\n"
        f"{indent}    signal.raise_signal(signal.SIGTERM)\n"
        f"{indent}    print('goes on', flush=True)\n"
    )
    line = [sys.executable, "-c", code]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
