"""An agent in the dream and in reality, one report: ``dreamgym evaluate``."""

from dreamgym.evaluate.command import run
from dreamgym.evaluate.dream import evaluate_dream
from dreamgym.evaluate.episode import RealSettings, play_episode
from dreamgym.evaluate.policies import Policy, load_policy
from dreamgym.evaluate.real import evaluate_player, evaluate_real
from dreamgym.evaluate.scores import EpisodeScore, summarize

__all__ = [
    "EpisodeScore",
    "Policy",
    "RealSettings",
    "evaluate_dream",
    "evaluate_player",
    "evaluate_real",
    "load_policy",
    "play_episode",
    "run",
    "summarize",
]
