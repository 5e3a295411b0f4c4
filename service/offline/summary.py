"""What a score says in the end, and what a look at its input says before.

Owns the sentences.
"""

from dataclasses import dataclass

from service.offline.job import Job
from service.offline.window import Tally


@dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        tally: what became of the rows.
        homeless: rows without an entity.
        scoring_seconds: of the tasks alone, reading included.
        seconds: of everything: the model's proof, sorting and writing included.
        job: what was asked for.
    """

    tally: Tally
    homeless: int
    scoring_seconds: float
    seconds: float
    job: Job

    @property
    def rejected(self) -> int:
        """All bad rows."""
        return self.homeless + self.tally.faults.total()

    def __str__(self) -> str:
        """A table for people."""
        tally, job = self.tally, self.job
        rate = tally.rows / self.scoring_seconds
        lines = [
            ("scored", f"{tally.rows:,} rows of {tally.entities:,} entities"),
            ("rate", f"{rate:,.0f} rows/s, reading included"),
            ("time", f"{self.seconds:.1f} s in all"),
            ("output", f"{job.output}"),
        ]
        if job.on_error != "fail":
            lines += [("bad rows", f"{self.rejected:,}, in {job.rejected_path}")]
            lines += [
                (f"  {name or 'line'}", f"{count:,}")
                for name, count in sorted(tally.faults.items())
            ]
            if self.homeless:
                lines.append(("  no entity", f"{self.homeless:,}"))
        if job.on_error == "skip-entity":
            left = f"{tally.skipped:,} entities, with {tally.left_out:,} rows that are good"
            lines.append(("left out", left))
        if job.state_out is not None:
            lines.append(("states", f"{job.state_out}"))
        return _aligned(lines)


@dataclass(frozen=True)
class Findings:
    """What a look at a job found, without doing it.

    Attributes:
        model: its name.
        proof: what its self-test said.
        files: how many the input has.
        rows: all of them.
        entities: how many there are; None where rows stand mixed.
        homeless: rows without an entity.
        features: how many columns the model sees.
    """

    model: str
    proof: str
    files: int
    rows: int
    entities: int | None
    homeless: int
    features: int

    def __str__(self) -> str:
        """A table for people."""
        order = (
            f"sorted: {self.entities:,} entities, read as they stand"
            if self.entities is not None
            else "mixed: they will be sorted on disk first"
        )
        lines = [
            ("model", f"{self.model}: {self.proof}"),
            ("input", f"{self.files:,} files, {self.rows:,} rows, {self.features} features found"),
            ("rows", order),
        ]
        if self.homeless:
            lines.append(("no entity", f"{self.homeless:,} rows"))
        lines.append(("scored", "nothing, since this is a dry run"))
        return _aligned(lines)


def _aligned(lines: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines)
