"""Where the things of a run and of its rounds are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgym.files import file_sha256, read_object

__all__ = ["Round"]


@dataclass(frozen=True)
class Round:
    """Where one round's things are."""

    run: Path
    number: int

    @property
    def before(self) -> Round:
        """The round before; there is none before round 0."""
        assert self.number > 0
        return Round(self.run, self.number - 1)

    @property
    def vision(self) -> Path:
        """V's weights, the same in all rounds."""
        return self.run / "vision" / "vision.safetensors"

    @property
    def memory(self) -> Path:
        """M's weights."""
        return self.run / f"memory-{self.number}" / "memory.safetensors"

    @property
    def world(self) -> Path:
        """The bundle."""
        return self.run / f"world-{self.number}"

    @property
    def evolution(self) -> Path:
        """C's folder."""
        return self.run / f"evolve-{self.number}"

    @property
    def controller(self) -> Path:
        """C's file."""
        return self.evolution / "controller.safetensors"

    @property
    def report(self) -> Path:
        """The round's figures."""
        return self.run / f"round-{self.number}.json"

    @property
    def page(self) -> Path:
        """The round's figures and pictures, to be read."""
        return self.run / f"round-{self.number}.md"

    @property
    def held_out(self) -> Path:
        """Episodes of the round's controller, for the round's page.

        A run that goes on to evolve may choose another one, whose episodes these are not.
        """
        return self.evolution / f"held-out-{str(file_sha256(self.controller))[:12]}"

    def picture(self, name: str) -> Path:
        """A picture of the page."""
        return self.run / f"round-{self.number}-{name}.png"

    @classmethod
    def finished(cls, run: Path) -> list[Round]:
        """The rounds of a run that have figures, in their order."""
        numbers = (re.fullmatch(r"round-(\d+)\.json", path.name) for path in run.iterdir())
        return [cls(run, number) for number in sorted(int(found[1]) for found in numbers if found)]

    def read_report(self) -> dict[str, Any]:
        """What :attr:`report` holds."""
        report = read_object(self.report)
        if "looks" in report:  # of a run that began before they were renamed
            report["validation_runs"] = report.pop("looks")
        return report
