"""MariaDB with one account, without a password, on its loopback port."""

import subprocess
from pathlib import Path

from tests.services.programs import find_program
from tests.services.server import Server

# --init-file takes one statement a line.
ACCOUNT = """\
CREATE USER IF NOT EXISTS 'mail_oauth'@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO 'mail_oauth'@'127.0.0.1';
"""

# What a crash may lose is of no worth here.
FAST = [
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--skip-log-bin",
    "--performance-schema=OFF",
]


class MariaDB(Server):
    accounts = ("mysql", "nobody")
    driver = "MySQLdb"

    def find_programs(self) -> None:
        self.install_db = find_program("mariadb-install-db", "mysql_install_db")
        self.mariadbd = find_program("mariadbd", "mysqld")
        self.admin = find_program("mariadb-admin", "mysqladmin")

    def prepare(self) -> None:
        # --no-defaults comes first, or the machine's own configuration is read.
        self.run(self.install_db, "--no-defaults", f"--datadir={self.data}", "--skip-test-db")
        self.init_file.write_text(ACCOUNT)
        self.init_file.chmod(0o644)

    def command(self) -> list[str]:
        network = [
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self.directory / 'socket'}",
            "--skip-name-resolve",
        ]
        files = [f"--datadir={self.data}", f"--tmpdir={self.directory}", f"--init-file={self.init_file}"]
        return [self.mariadbd, "--no-defaults", *network, *files, *FAST]

    @property
    def init_file(self) -> Path:
        return self.directory / "init.sql"

    @property
    def url(self) -> str:
        return f"mysql://mail_oauth@127.0.0.1:{self.port}/mysql"

    def ready(self) -> bool:
        address = [
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            f"--port={self.port}",
            "--user=mail_oauth",
        ]
        probe = subprocess.run(
            [self.admin, *address, "--connect-timeout=1", "status"], capture_output=True, check=False
        )
        return probe.returncode == 0
