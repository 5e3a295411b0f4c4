"""Turns of servers under load, one after the other.

Owns the order (A B A B ..., each freshly started, so that whatever else the machine does falls on
all), the models, and what becomes of a peer that fails: its reason takes the place of its figures.
Knows nothing of how a load is made or a record written.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import model, processes
from benchmarks.cores import Cores
from benchmarks.errors import BenchmarkError, PeerMissingError, ServerError
from benchmarks.model import Sizes
from benchmarks.processes import Server
from benchmarks.serving import trial
from benchmarks.serving.cases import Case, Visit, plan
from benchmarks.serving.contenders import Contender, Deployment
from benchmarks.serving.settings import PartName, ServingSettings
from benchmarks.serving.trial import Trial

# A rate of which less than this share is answered in time is over the server's limit.
_KEPT_UP = 0.97
# With other work than this share of a core, a trial is taken again, so many times in all.
_QUIET, _TRIES = 0.1, 3
OVER_THE_LIMIT = "over its limit"


@dataclass
class Findings:
    """What came of the cases.

    Attributes:
        trials: of each case, one a turn.
        failures: why a peer has no figures for a case.
    """

    trials: dict[Case, list[Trial]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Case, str] = field(default_factory=dict)


class Bench:
    """Servers on one core, their load on the other."""

    def __init__(self, folder: Path, settings: ServingSettings, cores: Cores) -> None:
        """Prepares a bench.

        Args:
            folder: an empty one, for the models.
            settings: how much is measured.
            cores: of the server and of the load.
        """
        self._folder = folder
        self._settings = settings
        self._cores = cores
        self._repositories: dict[Sizes, Path] = {}
        self.findings = Findings()

    def run(self, parts: Sequence[PartName], contenders: Sequence[Contender]) -> Findings:
        """Measures parts of the benchmark.

        Raises:
            BenchmarkError: one of our own servers failed, or answered wrongly.
        """
        there = [one for one in contenders if self._is_there(one)]
        for turn in range(1, self._settings.repeats + 1):
            for visit in plan(parts, there, self._settings):
                where = f"turn {turn} of {self._settings.repeats}, {visit.part}"
                processes_text = f", {visit.workers} workers" if visit.workers > 1 else ""
                _say(f"{where}: {visit.contender.name} {visit.sizes}{processes_text}")
                self._pay(visit)
        self._explain(case for visit in plan(parts, there, self._settings) for case in visit.cases)
        return self.findings

    def _explain(self, cases: Iterable[Case]) -> None:
        """Says of the rates that a server was never asked for why."""
        for case in cases:
            if case not in self.findings.trials and case not in self.findings.failures:
                self.findings.failures[case] = OVER_THE_LIMIT

    def _is_there(self, contender: Contender) -> bool:
        """Whether it can be started at all; makes its environment, before anything is timed."""
        try:
            contender.command(Deployment(self._folder))
        except PeerMissingError as error:
            _say(str(error))
            return False
        return True

    def _pay(self, visit: Visit) -> None:
        """Goes through a visit's loads; a peer that fails under one is started again for the next.

        What a peer failed once it is not asked again.
        """
        cases = [case for case in visit.cases if case not in self.findings.failures]
        while cases:
            try:
                self._attempt(visit, cases)
                return
            except BenchmarkError as error:
                if visit.contender.ours:
                    raise
                failed = list(cases) if isinstance(error, ServerError) else cases[:1]
                for case in failed:
                    _say(f"left out: {case.name}: {error}")
                    self.findings.failures[case] = str(error)
                    self.findings.trials.pop(case, None)
                del cases[: len(failed)]

    def _attempt(self, visit: Visit, cases: list[Case]) -> None:
        """Starts the server and takes away from `cases` what was measured."""
        deployment = Deployment(self._repository(visit.sizes), visit.sizes, visit.workers)
        load_core = (self._cores.load,) if visit.shares_cores else ()
        command = visit.contender.command(deployment)
        with processes.serving(command, self._cores.server, *load_core) as server:
            while cases:
                one = self._try(cases[0], server)
                self.findings.trials[cases.pop(0)].append(one)
                if not kept_up(one):
                    # Nor will it with more.
                    return

    def _try(self, case: Case, server: Server) -> Trial:
        """A trial that nothing else disturbed, or the least disturbed of a few."""
        tries: list[Trial] = []
        while len(tries) < _TRIES:
            tries.append(self._once(case, server))
            if disturbance(tries[-1]) <= _QUIET:
                break
        return min(tries, key=disturbance)

    def _once(self, case: Case, server: Server) -> Trial:
        visit = case.visit
        return trial.run(
            case.load_settings(server, self._settings),
            self._cores.load,
            model.path(self._repository(visit.sizes)),
            visit.contender.tolerance,
        )

    def _repository(self, sizes: Sizes) -> Path:
        if sizes not in self._repositories:
            place = self._folder / str(len(self._repositories))
            place.mkdir()
            model.make(place, sizes=sizes)
            self._repositories[sizes] = place
        return self._repositories[sizes]


def disturbance(one: Trial) -> float:
    """Processor time that others took during a trial, as a share of a core."""
    return one.report.other_cpu_seconds / one.load.seconds


def kept_up(one: Trial) -> bool:
    """Whether steps were answered as fast as they were sent; always so without a rate."""
    return one.report.steps >= _KEPT_UP * one.load.rate * one.report.seconds


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
