"""The nursery of the processes under test: it forks one for each line of its standard input.

Forking spares each process the second that importing Django takes. A line is JSON: the name of a job, its
circumstances, and its arguments. The nursery says `ready` and where its `mail_oauth` lies, answers each line with
the child's process id, and ends, children and all, with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any

import django

django.setup()

import mail_oauth  # noqa: E402
from tests.chaos import trace  # noqa: E402
from tests.chaos.jobs import JOBS, endure, stopping  # noqa: E402
from tests.chaos.trace import note  # noqa: E402


def run_child(job: str, circumstances: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Work as a process of its own; never returns to the nursery's loop."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        os.close(0)
        endure(**circumstances)
        JOBS[job](**arguments)
    except BaseException as error:  # noqa: BLE001  # the trace is the only one to tell
        note("crash", error=repr(error))
    finally:
        os._exit(0)


def main() -> None:
    trace.install()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children, and none stays a zombie
    threading.excepthook = lambda thrown: note("crash", error=repr(thrown.exc_value))
    print("ready", mail_oauth.__file__, flush=True)
    children: list[int] = []
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if not pid:
            run_child(**command)
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
