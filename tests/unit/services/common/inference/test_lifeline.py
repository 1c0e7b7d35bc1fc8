import copy
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from services.common.inference.lifeline import Lifeline

# A parent, its child and its grandchild, each tied to the one before; the parent prints all three.
FAMILY = """
import multiprocessing, os, time
from services.common.inference.lifeline import Lifeline

spawn = multiprocessing.get_context("spawn")

def grandchild(lifeline, pids):
    pids.put(os.getpid())
    time.sleep(300)

def child(lifeline, pids):
    pids.put(os.getpid())
    spawn.Process(target=grandchild, args=(lifeline, pids)).start()
    time.sleep(300)

if __name__ == "__main__":
    pids = spawn.Queue()
    spawn.Process(target=child, args=(Lifeline(), pids)).start()
    print(pids.get(), pids.get(), flush=True)
    time.sleep(300)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.timeout(60)
def test_a_killed_parent_takes_child_and_grandchild_with_it(tmp_path) -> None:
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        heirs = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            assert len(heirs) == 2
            assert not any(map(gone, heirs))
            parent.kill()
            parent.wait()
            while not all(map(gone, heirs)):
                time.sleep(0.1)
        finally:
            for pid in heirs:
                if not gone(pid):
                    os.kill(pid, signal.SIGKILL)


def test_a_copy_within_one_process_ties_nothing() -> None:
    assert isinstance(copy.deepcopy(Lifeline()), Lifeline)
    assert "lifeline" not in {thread.name for thread in threading.enumerate()}
