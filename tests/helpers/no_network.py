"""A plugin for whole runs: no process of the run reaches the network, and each attempt is recorded."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Tuple

from fixtures.run import process

# Where the run leaves {"asked": […], "tried": […]}: what asked for the network, and what came of asking at the end.
REPORT = "NETWORK_REPORT"


def refuse(event: str, arguments: Tuple[Any, ...]) -> None:
    """An audit hook, which the processes forked from this one have as well."""
    asked = event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
    sent = event in ("socket.connect", "socket.sendto", "socket.sendmsg")
    if asked or sent and not isinstance(arguments[1], (str, bytes, type(None))):  # Unix sockets have a path.
        with open(f"{os.environ[REPORT]}.asked", "a") as log:
            log.write(f"{event} {arguments}\n")
        raise OSError("there is no network here")


def attempt() -> str:
    """What comes of asking."""
    try:
        socket.create_connection(("127.0.0.1", 9)).close()
    except OSError as error:
        return str(error)
    return "connected"


def pytest_configure() -> None:
    """From here on."""
    sys.addaudithook(refuse)


def pytest_sessionfinish() -> None:
    """Shows that the hook works, here and in a worker, once the run has had its chance to ask."""
    log = Path(f"{os.environ[REPORT]}.asked")
    asked = log.read_text().splitlines() if log.exists() else []
    tried = [attempt(), process.run(attempt, title="asking", timeout_s=60)]
    Path(os.environ[REPORT]).write_text(json.dumps({"asked": asked, "tried": tried}))
