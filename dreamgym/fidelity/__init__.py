"""How far the dream and reality agree, measured: ``dreamgym fidelity``."""

from dreamgym.fidelity.command import measure, run
from dreamgym.fidelity.policies import fixed_policies, probe_policies
from dreamgym.fidelity.returns import agreement
from dreamgym.fidelity.verdict import diagnose, render

__all__ = ["agreement", "diagnose", "fixed_policies", "measure", "probe_policies", "render", "run"]
