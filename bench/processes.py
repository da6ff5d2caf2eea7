"""Processes that the benchmark starts, and what the kernel says of them."""

import os
import signal
import socket
import subprocess
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
ENV = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Failure(Exception):
    """Something can't be measured; says why."""


class Child:
    """One program in a session of its own, so that only we end it; its output goes to a file."""

    def __init__(self, name, argv, folder, env=None):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                env={**ENV, **(env or {})}, start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            # Whoever of its group is left.
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def check(self):
        """Raises Failure if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise Failure(f"{self.name} ended with status {code}: {self.last_words()}")

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "(no output)"

    def cpu_seconds(self):
        """User and system time of the whole tree so far."""
        return sum(cpu_ticks(pid) for pid in self.tree()) / TICKS

    def memory_kib(self):
        """Resident memory of the whole tree. Shared pages count once (Pss) where that can be read."""
        return sum(memory_kib(pid) for pid in self.tree())

    def tree(self):
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (stat := stat_fields(int(entry))):
                parents.setdefault(int(stat[1]), []).append(int(entry))
        found = [self.process.pid]
        for pid in found:
            found.extend(parents.get(pid, []))
        return found


def stat_fields(pid):
    """Of /proc/PID/stat, what follows the name: state, parent and so on; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_ticks(pid):
    stat = stat_fields(pid)
    return int(stat[11]) + int(stat[12]) if stat else 0


def memory_kib(pid):
    for name, field in ("smaps_rollup", "Pss:"), ("status", "VmRSS:"):
        try:
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1])
        except OSError:
            pass
    return 0


def machine_cpu_seconds():
    """What all programs of this machine have used, without the kernel's interrupts."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
