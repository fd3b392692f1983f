"""Whom a run talks to, seen from two sides.

From within: every Python process of the run is told to note each address that its sockets connect
or send to (an audit hook, which code of the run cannot take off). From without: listeners stand at
addresses that the run was not allowed to ask, and count who comes, whatever program it is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = "YLD_FAULTS_CONNECTIONS"
HOOK = '''"""Written by the fault campaign: notes the addresses that this process connects to."""
import json, os, sys
_log = os.environ.get("YLD_FAULTS_CONNECTIONS")
def _note(event, args):
    if event not in ("socket.connect", "socket.sendto"):
        return
    address = args[1]
    if not (isinstance(address, tuple) and address):
        return
    frame, fetches = sys._getframe(), False
    while frame is not None and not fetches:
        name = frame.f_code.co_filename
        fetches = "yt_dlp" in name or os.sep + "stages" + os.sep in name
        frame = frame.f_back
    handle = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, (json.dumps([str(address[0]), address[1], fetches]) + "\\n").encode())
    os.close(handle)
if _log:
    sys.addaudithook(_note)
'''


class Connections:
    """`allowed` are (address, port) that the run may ask though they are not public."""

    def __init__(self, folder: Path) -> None:
        self.allowed: set[tuple[str, int]] = set()
        self._log = folder / "connections.jsonl"
        self._hook = folder / "hook"
        self._hook.mkdir(parents=True, exist_ok=True)
        (self._hook / "sitecustomize.py").write_text(HOOK)
        self._strangers: list[str] = []

    def environment(self) -> tuple[dict[str, str], str]:
        """Variables for the run, and the folder that must come first in its PYTHONPATH."""
        return {LOG: str(self._log)}, str(self._hook)

    def wrong(self) -> list[str]:
        """One line per address that a fetch connected to and should not have; then forgotten.

        Ray's own traffic on the machine is not of a fetch and is left out.
        """
        seen: dict[tuple[str, int], int] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._log.read_text().splitlines():
                host, port, fetches = json.loads(line)
                if fetches and (host, port) not in self.allowed and not _is_public(host):
                    seen[host, port] = seen.get((host, port), 0) + 1
            self._log.unlink()
        found = [f"{host} port {port}: {count} times" for (host, port), count in seen.items()]
        strangers, self._strangers[:] = list(self._strangers), []
        return found + strangers

    def num_seen(self) -> int:
        """Connections noted so far: the hook works."""
        with contextlib.suppress(FileNotFoundError):
            return len(self._log.read_text().splitlines())
        return 0

    @contextmanager
    def listener(self, host: str) -> Iterator[int]:
        """The port of a listener at `host` whom nobody of the run has any business with."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as server:
            port = server.getsockname()[1]

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = server.accept()
                        self._strangers.append(f"{host} port {port}: somebody came")
                        connection.close()

            threading.Thread(target=serve, daemon=True).start()
            yield port
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return True  # a name: the address that it resolves to is noted too
