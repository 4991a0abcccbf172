"""What the demo says stands once in its terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
import django
django.setup()
if sys.argv[1] == "worker":
    from example_project.celery import app
    app.log.setup("INFO")
logging.getLogger("mail_oauth.upkeep.reconcile").info("reconciliation ended")
"""


@pytest.mark.parametrize("process", ["site", "worker"])
def test_a_record_is_written_once(process, tmp_path):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "example_project.settings", "DEMO_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, process],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert done.stdout.count("reconciliation ended") == 1, done.stdout
