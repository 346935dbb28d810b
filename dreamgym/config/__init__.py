"""One frozen dataclass a stage: a command line, a JSON file beside the results, and a function's argument in one."""

from __future__ import annotations

from dreamgym.config.commands import DemoConfig, EvaluateConfig, ExportConfig, FidelityConfig, PlayConfig, WebConfig
from dreamgym.config.evolution import EvolveConfig, EvolveSettings
from dreamgym.config.imports import ImportConfig
from dreamgym.config.pipeline import PipelineConfig
from dreamgym.config.recordings import CollectConfig
from dreamgym.config.training import (
    AssembleConfig,
    EncodeConfig,
    MemoryConfig,
    MemorySettings,
    VisionConfig,
    VisionSettings,
)

__all__ = [
    "AssembleConfig",
    "CollectConfig",
    "DemoConfig",
    "EncodeConfig",
    "EvaluateConfig",
    "EvolveConfig",
    "EvolveSettings",
    "ExportConfig",
    "FidelityConfig",
    "ImportConfig",
    "MemoryConfig",
    "MemorySettings",
    "PipelineConfig",
    "PlayConfig",
    "VisionConfig",
    "VisionSettings",
    "WebConfig",
]
