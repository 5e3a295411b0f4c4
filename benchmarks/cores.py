"""Which core a process runs on, and the processor time that it has used.

Owns pinning, and the accounting that Linux keeps in /proc. Knows nothing of what the processes do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import SettingsError

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the command's name, which may hold spaces itself.
_PARENT = 1
_UTIME, _CSTIME = 11, 14
_MACHINE = Path("/proc/stat")
# Of its first line: user, nice, system, and what another machine on the same hardware took. Time in
# interrupts is left out, since it counts to no process.
_TAKEN = (1, 2, 3, 8)


@dataclass(frozen=True)
class Cores:
    """One core for the server, and one for its load and everything else."""

    server: int
    load: int


def choose() -> Cores:
    """Two cores of this process's own, not two threads of one core where that can be had.

    Raises:
        SettingsError: the process may use one core only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SettingsError(
            f"this process may use {len(allowed)} core; a server and its load need one each"
        )
    server = allowed[0]
    apart = [core for core in allowed[1:] if core not in _siblings(server)]
    return Cores(server=server, load=(apart or allowed)[-1])


def _siblings(core: int) -> set[int]:
    """The logical cores that share this one's hardware, itself included."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    if not path.exists():
        return {core}
    ends = [part.split("-") for part in path.read_text().strip().split(",")]
    return {number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)}


@contextmanager
def pinned(*which: int) -> Iterator[None]:
    """Keeps this thread, and the processes that it starts, on one core or on a few."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, which)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if fields := _stat(pid):
            children.setdefault(int(fields[_PARENT]), []).append(pid)
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes and of their children that have ended."""
    ticks = sum(int(field) for pid in pids for field in _stat(pid)[_UTIME : _CSTIME + 1])
    return ticks / _TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """Time that all processes of the machine together have used, on all cores."""
    with _MACHINE.open() as stat:
        fields = stat.readline().split()
    return sum(int(fields[index]) for index in _TAKEN) / _TICKS_PER_SECOND


def memory_bytes(pids: list[int]) -> int:
    """Resident memory of processes, what they share counted in each."""
    return sum(_resident_pages(pid) for pid in pids) * os.sysconf("SC_PAGESIZE")


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on; none where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
