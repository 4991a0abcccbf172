"""A server in a directory of its own, as a child that does not outlive its parent."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar, Self

from tests.services.programs import MissingProgram, find_module

START_SECONDS = 60
STOP_SECONDS = 20


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """One process and its files. A subclass says how it is prepared, run, and known to be ready."""

    accounts: ClassVar[tuple[str, ...]] = ("nobody",)
    """Root runs the server as the first of these that exists: database servers refuse root, or should."""

    driver: ClassVar[str]
    """The Python module that clients need."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """At which the server ends, whoever is connected."""

    def __init__(self) -> None:
        find_module(self.driver)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.find_programs()
        self.directory = Path(tempfile.mkdtemp(prefix=f"mail_oauth-{type(self).__name__.lower()}-"))
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.log.touch()
        if account := self.account:
            shutil.chown(self.directory, account.pw_uid, account.pw_gid)

    def find_programs(self) -> None:
        """Raise MissingProgram before any file is made."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Fill the data directory; called before the first start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def account(self) -> pwd.struct_passwd | None:
        """Whom to run as; None for ourselves."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        return next((known[name] for name in self.accounts if name in known), None)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start the process and wait until it answers; a running one is left alone."""
        if self.running:
            return self
        if not self.data.exists():
            self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._bound_to_us(), *self.command()],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End the process and wait for it; its files stay, and `start()` goes on with them."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def run(self, *command: str) -> None:
        """Run a preparing command as the server's account; its output is shown when it fails."""
        done = subprocess.run(
            [*self._bound_to_us(), *command],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace')[-3000:]}")

    def _bound_to_us(self) -> list[str]:
        """A prefix under which the child runs as the account, and is told to stop when this process dies."""
        account, setpriv = self.account, shutil.which("setpriv")
        if setpriv is None:
            if account is not None:
                raise MissingProgram(
                    "setpriv (util-linux), which root needs to run a server as another account, is not installed"
                )
            return []
        identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
        return [setpriv, "--pdeathsig", self.stop_signal.name, *identity, "--"]

    def _wait_until_ready(self) -> None:
        process = self.process
        assert process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-3000:]
                self.kill()
                raise RuntimeError(f"{type(self).__name__} did not start:\n{tail}")
            time.sleep(0.05)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
