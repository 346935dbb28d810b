"""Gymnasium's and Stable-Baselines3's video recorders over the dream and over reality seen as latents."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FrameStackObservation, RecordVideo, RescaleAction

from dreamgym.world_model import WorldModel
from dreamgym.wrappers import LatentObservation
from tests.support.fake_racing import FakeRacing
from tests.support.toy_envs import DREAM

pytest.importorskip("moviepy")
imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


def frames_of(folder: Path, height: int, width: int) -> int:
    """How many frames of this size the folder's only video has."""
    (video,) = folder.glob("*.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(video), "-f", "rawvideo", "-pix_fmt", "rgb24"]
    data = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    frames, rest = divmod(len(data), height * width * 3)
    assert rest == 0
    return frames


def drive(env: gym.Env[Any, Any], steps: int) -> list[Any]:
    observations = [env.reset(seed=1)[0]]
    observations += [env.step(np.array([0.1, 0.5, 0.0], np.float32))[0] for _ in range(steps)]
    env.close()
    return observations


@pytest.mark.parametrize("obs_type", ["features", "rgb"])
def test_the_dream(toy_world_model: WorldModel, tmp_path: Path, obs_type: str) -> None:
    env = gym.make(DREAM, world_model=toy_world_model, obs_type=obs_type, render_mode="rgb_array", max_episode_steps=4)
    seen = drive(RecordVideo(env, str(tmp_path / "videos")), 4)
    alone = drive(gym.make(DREAM, world_model=toy_world_model, obs_type=obs_type), 4)
    assert np.array_equal(seen, alone)
    assert frames_of(tmp_path / "videos", 448, 640) == 5


@pytest.mark.filterwarnings("ignore:.*will not contain the last frame")  # Gymnasium's, in the mode SAME_STEP
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_vector_environment(toy_world_model: WorldModel, tmp_path: Path, mode: AutoresetMode) -> None:
    if not hasattr(gym.wrappers.vector, "RecordVideo"):
        pytest.skip("this Gymnasium has no RecordVideo for vector environments")
    envs = gym.make_vec(
        DREAM,
        num_envs=4,
        world_model=toy_world_model,
        render_mode="rgb_array",
        max_episode_steps=3,
        autoreset_mode=mode,
    )
    folder = str(tmp_path / "videos")
    videos = gym.wrappers.vector.RecordVideo(envs, folder, episode_trigger=lambda episode: episode == 0)
    videos.reset(seed=0)
    for _ in range(3):
        videos.step(np.zeros((4, 3), np.float32))
    videos.close()
    assert frames_of(tmp_path / "videos", 2 * 448, 2 * 640) == (3 if mode is AutoresetMode.SAME_STEP else 4)


def test_both_sides_of_latent_observation(toy_world_model: WorldModel, tmp_path: Path) -> None:
    def real() -> gym.Env[Any, Any]:
        return FakeRacing(length=-1, render_mode="rgb_array")

    plain = drive(LatentObservation(real(), world_model=toy_world_model), 4)
    beneath = RecordVideo(real(), str(tmp_path / "beneath"))
    assert np.array_equal(drive(LatentObservation(beneath, world_model=toy_world_model), 4), plain)
    stacked = FrameStackObservation(LatentObservation(real(), world_model=toy_world_model), 2)
    around = RecordVideo(RescaleAction(stacked, np.float32(-1), np.float32(1)), str(tmp_path / "around"))
    assert drive(around, 4)[-1].shape == (2, 20)
    for folder in ("beneath", "around"):
        assert frames_of(tmp_path / folder, 40, 60) == 5


def test_stable_baselines_video_recorder(toy_world_model: WorldModel, tmp_path: Path) -> None:
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    from dreamgym.wrappers import SB3VecEnv

    venv = SB3VecEnv(DREAM, num_envs=2, world_model=toy_world_model, render_mode="rgb_array")
    recorder = vec_env.VecVideoRecorder(venv, str(tmp_path / "videos"), lambda step: step == 0, video_length=4)
    recorder.reset()
    for _ in range(5):
        recorder.step(np.zeros((2, 3), np.float32))
    recorder.close()
    assert frames_of(tmp_path / "videos", 2 * 448, 640) == 5
