"""How far the dream and reality agree, measured: ``dreamgym fidelity``."""

from dreamgym.fidelity.command import measure, run
from dreamgym.fidelity.policies import bad_policies, fixed_policies
from dreamgym.fidelity.returns import agreement, spearman

__all__ = ["agreement", "bad_policies", "fixed_policies", "measure", "run", "spearman"]
