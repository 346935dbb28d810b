"""One frozen dataclass a stage: a command line, a JSON file beside the results, and a function's argument in one."""

from __future__ import annotations

from dreamgym.config.driving import DemoConfig, EvaluateConfig, FidelityConfig, PlayConfig
from dreamgym.config.folders import claim_folder, to_json, whole_lines, write_json, write_text
from dreamgym.config.pipeline import PipelineConfig
from dreamgym.config.training import CollectConfig, EvolveConfig, MemoryConfig, VisionConfig

__all__ = [
    "CollectConfig",
    "DemoConfig",
    "EvaluateConfig",
    "EvolveConfig",
    "FidelityConfig",
    "MemoryConfig",
    "PipelineConfig",
    "PlayConfig",
    "VisionConfig",
    "claim_folder",
    "to_json",
    "whole_lines",
    "write_json",
    "write_text",
]
