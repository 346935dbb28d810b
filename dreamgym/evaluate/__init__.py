"""An agent in the dream and in reality, one report: ``dreamgym evaluate``."""

from dreamgym.evaluate.command import run
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.policies import Policy, load_policy
from dreamgym.evaluate.real import drive_real, evaluate_real
from dreamgym.evaluate.scores import EpisodeScore, summarize

__all__ = [
    "EpisodeScore",
    "Policy",
    "drive_real",
    "evaluate_dream",
    "evaluate_real",
    "load_policy",
    "run",
    "summarize",
]
