"""The processes that ask for tokens, and their nursery: it forks one for each line of its standard input.

Forking spares each process the second that importing Django takes. A line is JSON: the name of a job, and its
arguments. The nursery says `ready`, answers each line with the child's process id, and ends, children and all, with its input.

Every process appends what it does to the file TRACE, one `write()` for each event, which a SIGKILL cannot undo:
`posted` before a refresh is sent, `replied` when its answer has begun, `saved` when the pair is committed. Posts
carry the digest of the refresh token that is spent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import django
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response

django.setup()

from mail_oauth.exceptions import MailboxError  # noqa: E402
from mail_oauth.models import MailCredentials  # noqa: E402
from mail_oauth.signals import token_refreshed  # noqa: E402
from mail_oauth.upkeep.sweep import refresh_batch  # noqa: E402

_trace = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_send = HTTPAdapter.send


def note(event: str, **facts: Any) -> None:
    line = {"event": event, "pid": os.getpid(), "thread": threading.get_ident(), "at": time.time(), **facts}
    os.write(_trace, json.dumps(line).encode() + b"\n")


def traced_send(self: HTTPAdapter, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    spent = parse_qs(str(body or "")).get("refresh_token", [""])[0]
    digest = hashlib.sha256(spent.encode()).hexdigest()
    note("posted", digest=digest)
    try:
        response = _send(self, request, *args, **kwargs)
    except BaseException as error:
        note("unanswered", digest=digest, error=type(error).__name__)
        raise
    note("replied", digest=digest, status=response.status_code)
    return response


def note_saved(credentials: MailCredentials, **_: Any) -> None:
    note("saved", mailbox=str(credentials.pk), generation=credentials.generation)


# --- jobs ---


def in_threads(number: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(pk: str, ask: Callable[[], Any]) -> None:
    """Ask for a token, and note what came of it."""
    begun = time.monotonic()
    try:
        token = ask()
    except Exception as error:  # noqa: BLE001  # whatever a caller would have got
        note("error", mailbox=pk, error=f"{type(error).__name__}: {error}")
    else:
        note("answer", mailbox=pk, token=token.reveal(), seconds=time.monotonic() - begun)


def ask_once(pks: list[str], threads: int, at: float) -> None:
    """Every thread asks for its share of `pks` (each for the one, if there is only one) at the moment `at`."""

    def work(number: int) -> None:
        own = pks if len(pks) == 1 else pks[number::threads]
        time.sleep(max(at - time.time(), 0))
        for pk in own:
            answer(pk, lambda pk=pk: MailCredentials.objects.get_access_token(pk))

    in_threads(threads, work)


def refresh_one(pk: str) -> None:
    answer(pk, lambda: MailCredentials.objects.get(pk=pk).refresh_now())


def read_on(pks: list[str], threads: int, seconds: float, seed: int) -> None:
    """Read tokens at random for a while; the first thread of all keeps replacing them."""
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        chance = random.Random(f"{seed}:{number}")
        while time.monotonic() < end:
            pk = chance.choice(pks)
            if number == 0:
                answer(pk, MailCredentials.objects.get(pk=pk).refresh_now)
                time.sleep(0.02)
            else:
                answer(pk, lambda pk=pk: MailCredentials.objects.get_access_token(pk))
                time.sleep(0.005)

    in_threads(threads, work)


def toil(threads: int, seed: int) -> None:
    """Refresh until killed: one thread sweeps, the others take mailboxes at random, whatever their age."""

    def work(number: int) -> None:
        chance = random.Random(f"{seed}:{number}")
        while True:
            if number == 0:
                refresh_batch(revoke=lambda row: None, seconds=0.5, threads=2)
                time.sleep(0.05)
                continue
            pks = list(MailCredentials.objects.healthy().values_list("pk", flat=True))
            for pk in chance.sample(pks, min(len(pks), 20)):
                with contextlib.suppress(MailboxError):
                    MailCredentials.objects.get(pk=pk).refresh_now()
                time.sleep(chance.uniform(0, 0.1))

    in_threads(threads, work)


JOBS: dict[str, Callable[..., None]] = {job.__name__: job for job in (ask_once, refresh_one, read_on, toil)}


def run_child(job: str, arguments: dict[str, Any]) -> None:
    """Work as a process of its own; never returns to the nursery's loop."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(0)
        JOBS[job](**arguments)
    except BaseException as error:  # noqa: BLE001  # the trace is the only one to tell
        note("crash", error=repr(error))
    finally:
        os._exit(0)


def main() -> None:
    HTTPAdapter.send = traced_send  # type: ignore[method-assign]
    token_refreshed.connect(note_saved)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children, and none stays a zombie
    threading.excepthook = lambda thrown: note("crash", error=repr(thrown.exc_value))
    print("ready", flush=True)
    children: list[int] = []
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if not pid:
            run_child(command.pop("job"), command)
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
