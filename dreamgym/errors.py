"""Every exception dreamgym raises on purpose.

All of them derive from :class:`DreamGymError`, and each also derives from the builtin that a caller
would expect (``ValueError`` for a bad argument, ``FileNotFoundError`` for a missing file, ...), so both
``except dreamgym.errors.DreamGymError`` and ``except ValueError`` work. A message says what was wanted, what
came, and what to do.
"""

from __future__ import annotations

import gymnasium as gym

__all__ = [
    "ActionError",
    "BundleError",
    "BundleNotFoundError",
    "BundleVersionError",
    "ClusterError",
    "ConfigError",
    "DivergedError",
    "DreamGymError",
    "EpisodeFileError",
    "FitnessError",
    "InstallationError",
    "ObservationError",
    "OutputFolderError",
    "ResetNeededError",
    "RewardError",
    "SeedError",
    "TemperatureError",
    "UntrustedPickleError",
    "WorkerError",
]


class DreamGymError(Exception):
    """Base class of every error that dreamgym raises on purpose."""


class ConfigError(DreamGymError, ValueError):
    """An argument or a configuration value that is unknown or out of range."""


class TemperatureError(ConfigError):
    """A temperature that is no positive finite number, nor a pair of these."""


class ActionError(DreamGymError, ValueError):
    """An action of wrong shape or type, not finite, or outside the action space."""


class ObservationError(DreamGymError, ValueError):
    """An observation or an observation space other than the world model was trained on."""


class ResetNeededError(DreamGymError, gym.error.ResetNeeded):
    """``step`` or ``render`` was called before ``reset``."""


class RewardError(DreamGymError, ValueError):
    """A reward of a real environment that is not a finite number."""


class SeedError(DreamGymError, ValueError):
    """A seed reserved for another purpose, such as a test track asked for in training."""


class EpisodeFileError(DreamGymError, ValueError):
    """A recorded episode that is missing, damaged, or of another format version."""


class BundleError(DreamGymError, ValueError):
    """A world-model bundle whose files do not agree with its card.

    In a hash, key, shape or dtype, or by a NaN.
    """


class BundleNotFoundError(BundleError, FileNotFoundError):
    """No world-model bundle where one was looked for."""


class BundleVersionError(BundleError):
    """A bundle for another world, or written in a format this version does not read."""


class OutputFolderError(DreamGymError, FileExistsError):
    """An output folder that holds something other than what the command writes, or another configuration."""


class WorkerError(DreamGymError, RuntimeError):
    """A worker process died or stopped answering."""


class ClusterError(DreamGymError, ConnectionError):
    """No cluster answers, or its machines have other versions.

    Other than the machine that gives out the work.
    """


class DivergedError(DreamGymError, FloatingPointError):
    """NaN or infinity in a loss, a weight or a state."""


class FitnessError(DivergedError):
    """A fitness that evolution cannot rank."""


class UntrustedPickleError(DreamGymError, ValueError):
    """A file that can only be read by unpickling it.

    That runs code of its author's choosing.
    """


class InstallationError(DreamGymError, ImportError):
    """A dependency is missing, or two installed ones have broken each other."""
