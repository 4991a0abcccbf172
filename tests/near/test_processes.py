"""A child has none of its parent's tokens, and a process ends as if there were no near copies."""

from __future__ import annotations

import os
import subprocess
import sys
import time

PROGRAM = """
import os, threading, time, uuid
from django.utils import timezone
from datetime import timedelta
from mail_oauth import near
from mail_oauth.near import near_copies
near.IDLE_ROUNDS = 0
from mail_oauth.tokens import AccessToken

def keep(pk, seconds=3600):
    now = timezone.now()
    token = AccessToken("clear", issued_at=now, expires_at=now + timedelta(hours=1), generation=1)
    near_copies.keep(pk, token, near_copies.look(pk)._replace(at=time.monotonic() + 3600), seconds)

def purgers():
    return [thread for thread in threading.enumerate() if "near copies" in thread.name]

def hold():
    with near_copies._lock:
        held.set()
        ended.wait()

def eventually(true):
    give_up_at = time.monotonic() + 20
    while not true() and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return true()

pk, other = uuid.uuid4(), uuid.uuid4()
keep(pk)
assert purgers()
held, ended = threading.Event(), threading.Event()
holder = threading.Thread(target=hold, daemon=True)
holder.start(); held.wait()  # the child is forked while another thread holds the lock
child = os.fork()
if not child:
    try:
        assert near_copies.get(pk) is None and len(near_copies) == 0 and not purgers()
        keep(other, 0.2)
        assert len(near_copies) == 1 and len(purgers()) == 1
        assert eventually(lambda: len(near_copies) == 0 and not purgers())
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ended.set(); holder.join()
assert len(near_copies) == 1 and len(purgers()) == 1
for _ in range(1000):
    keep(uuid.uuid4())
print("done")
"""


def test_a_process_is_not_disturbed():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    # Since Python 3.12 every fork beside a thread is warned of: that it goes well is what is tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "dev", "-c", PROGRAM]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - began < 50, "it waits for no thread"
