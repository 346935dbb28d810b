"""Stable-Baselines3's PPO learns to drive in the dream alone, from 20 million steps; then it drives real tracks.

    python docs/examples/sb3_ppo.py --out runs/sb3-ppo                       # train; writes model.zip and training.json
    python docs/examples/sb3_ppo.py --out runs/sb3-ppo --evaluate      # the real score; writes real.json

All learning is in the dream. Checkpoints are running means of the weights; of the last three, the one that drives best
on 48 real validation tracks is kept. --evaluate drives test tracks, on which nothing is ever chosen. The same seed
gives the same policy again, on processors of one kind with as many threads.
Needs: pip install ".[sb3,train]"
"""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # torch's idle threads must not spin where the dream's threads work

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import RescaleAction
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor

from dreamgym.data.seeds import TEST_SEEDS, VALIDATION_SEEDS
from dreamgym.evaluate import evaluate_real
from dreamgym.evaluate.policies import SB3Policy
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.world_model import WorldModel
from dreamgym.wrappers import SB3VecEnv

DREAM, REAL = "dreamgym:DreamCarRacing-v0", "dreamgym:LatentCarRacing-v0"
REWARD_SCALE = 0.02  # a good lap pays some 1.3 a frame: discounted returns are then of the order of 1
CHECKPOINTS = (0.7, 0.85)  # shares of the steps; another one is at their end
# What an archive need not hold: the schedule is of this script, and the rest is large.
NOT_SAVED = ["learning_rate", "lr_schedule", "ep_info_buffer", "_last_obs", "_last_episode_starts"]


class CautiousDriving(VecEnvWrapper):
    """What keeps a policy from exploiting the dream's mistakes; actions are in [-1, 1], as policies give them.

    Args:
        venv: dreams with rescaled actions.
        smoothness: points off for a mean change of steering, gas and brake by one, in the car's own units: a wheel that
            shakes from stop to stop costs nothing in the dream and a lap in reality.
        steering_penalty: points off for a frame at full lock, half the lock costing a quarter: who weaves from stop to
            stop has no lock left for a bend.
        progress_limit: points a frame, averaged over half a second, beyond which progress pays nothing: the dream shows
            fewer hairpins than reality, and a faster lap earns little.
        missed_tile_penalty: points off for each tile that M believes is left behind untouched: a real lap that missed
            one does not end.
        memory: M, whose h the observations hold.
        noise: standard deviation of what is added to each feature, so that no choice hangs on its finest shades.
        seed: of the noise.
    """

    def __init__(
        self,
        venv: VecEnv,
        *,
        smoothness: float,
        steering_penalty: float,
        progress_limit: float,
        missed_tile_penalty: float,
        memory: MDNRNN,
        noise: float,
        seed: int,
    ) -> None:
        super().__init__(venv)
        self._missed_tile_penalty, self._memory = missed_tile_penalty, memory
        self._weights = smoothness / 3.0 * np.array([1.0, 0.5, 0.5], np.float32)
        self._steering_penalty, self._limit = steering_penalty, progress_limit
        self._noise, self._generator = noise, np.random.default_rng(seed)
        self._actions = np.zeros((venv.num_envs, 3), np.float32)
        self._previous = np.full_like(self._actions, np.nan)
        self._progress = np.zeros(venv.num_envs, np.float32)

    def _seen(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return observations + self._noise * self._generator.standard_normal(observations.shape, np.float32)

    def reset(self) -> Any:
        self._previous[:], self._progress[:] = np.nan, 0.0
        return self._seen(self.venv.reset())

    def step_async(self, actions: NDArray[np.float32]) -> None:
        self._actions = np.clip(actions, -1.0, 1.0)
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        self._progress += (rewards + 0.1 - self._progress) / 25.0  # without the frame's cost of 0.1
        change = np.abs(self._actions - self._previous) @ self._weights
        steering = self._steering_penalty * np.square(self._actions[:, 0])
        h = torch.from_numpy(observations[:, self._memory.latent_size :])
        chance = torch.sigmoid(self._memory.event_logit(h)).numpy() * ~dones  # then h is the next episode's
        missed = self._missed_tile_penalty * chance
        paid = rewards - np.nan_to_num(change) - steering - missed - np.maximum(self._progress - self._limit, 0.0)
        self._previous = self._actions
        self._previous[dones], self._progress[dones] = np.nan, 0.0  # an episode's first action is no change
        return self._seen(observations), paid * REWARD_SCALE, dones, infos


class Checkpoints(BaseCallback):
    """Saves the policy at some shares of the steps: a running mean of its weights over the updates.

    Args:
        steps: of the whole training.
        folder: where checkpoints go.
        decay: what one update leaves of the mean; with 0 the weights are saved as they are.
    """

    def __init__(self, steps: int, folder: Path, decay: float) -> None:
        super().__init__()
        self._due = [share * steps for share in CHECKPOINTS]
        self._folder, self._decay = folder, decay
        self._mean: dict[str, torch.Tensor] = {}
        self.saved: list[Path] = []

    def _on_rollout_start(self) -> None:
        self._follow()
        if self._due and self.num_timesteps >= self._due[0]:
            self._due = [due for due in self._due if due > self.num_timesteps]
            self.save()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._follow()

    def _follow(self) -> None:
        for name, weights in self.model.policy.state_dict().items():
            self._mean.setdefault(name, weights.clone()).lerp_(weights, 1.0 - self._decay)

    def save(self) -> None:
        path = self._folder / f"checkpoint-{len(self.saved)}.zip"
        latest = {name: weights.clone() for name, weights in self.model.policy.state_dict().items()}
        self.model.policy.load_state_dict(self._mean)
        self.model.save(path, exclude=NOT_SAVED)
        self.model.policy.load_state_dict(latest)
        self.saved.append(path)


def train(args: argparse.Namespace) -> tuple[PPO, list[Path]]:
    """PPO over a batch of dreams, one matrix product for all of them; the model and its checkpoints."""
    dreams = SB3VecEnv(
        DREAM,
        args.num_envs,
        rescale_actions=True,
        world_model=args.world_model,
        temperature=tuple(args.temperature),
        # Short dreams that begin before bends and mishaps: at the start, and from then on, the dream is too kind.
        start="hard",
        max_episode_steps=args.episode_steps,
        precision="auto",
    )
    checkpoints = Checkpoints(args.steps, args.out, args.average)
    n_steps = max(2, min(args.n_steps, args.steps // args.num_envs))
    model = PPO(
        "MlpPolicy",
        CautiousDriving(
            VecMonitor(dreams),
            smoothness=args.smoothness,
            steering_penalty=args.steering_penalty,
            progress_limit=args.progress_limit,
            missed_tile_penalty=args.missed_tile_penalty,
            memory=WorldModel.load(args.world_model).memory,
            noise=args.noise,
            seed=args.seed,
        ),
        n_steps=n_steps,
        batch_size=min(args.batch_size, n_steps * args.num_envs),
        n_epochs=args.n_epochs,
        learning_rate=lambda remaining: args.learning_rate * max(0.02, remaining),
        gamma=args.gamma,
        gae_lambda=0.95,
        policy_kwargs={
            "net_arch": {"pi": args.net_arch, "vf": [64, 64]},
            "activation_fn": torch.nn.Tanh,
            "log_std_init": -1.0,
        },
        seed=args.seed,
        device="cpu",
        verbose=1,
    )
    with torch.no_grad():  # at first half gas and no brake, as -1 is none
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    model.set_logger(configure(str(args.out), ["stdout", "csv"]))
    model.learn(args.steps, callback=checkpoints, log_interval=args.log_interval)
    checkpoints.save()
    return model, checkpoints.saved


def best(checkpoints: list[Path], args: argparse.Namespace) -> tuple[Path, dict[str, list[float]]]:
    """The checkpoint with the highest mean on validation tracks, and its drives and those of the others."""
    tracks = VALIDATION_SEEDS[: args.validation]
    scores: dict[str, list[float]] = {}
    for path in checkpoints if tracks else ():
        drives = evaluate_real(SB3Policy(path), tracks, workers=args.workers, world_model=args.world_model)
        scores[path.name] = [drive.score for drive in drives]
        print(f"{path.name}: {np.mean(scores[path.name]):.1f} on {len(tracks)} validation tracks", flush=True)
    name = max(scores, key=lambda each: float(np.mean(scores[each])), default=checkpoints[-1].name)
    return args.out / name, scores


def train_and_choose(args: argparse.Namespace) -> None:
    """Learn in the dream, choose a checkpoint, keep it as model.zip."""
    started = time.monotonic()
    model, checkpoints = train(args)
    trained = time.monotonic() - started
    chosen, scores = best(checkpoints, args)
    os.replace(chosen, args.out / "model.zip")
    report = {
        "arguments": {name: str(value) for name, value in vars(args).items()},
        "dream_steps": model.num_timesteps,
        "training_seconds": round(trained, 1),
        "seconds": round(time.monotonic() - started, 1),
        "chosen": chosen.name,
        "validation": scores,
    }
    (args.out / "training.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{model.num_timesteps} dream steps in {trained:.0f} s; all in {report['seconds']:.0f} s: {chosen.name}")


def evaluate(args: argparse.Namespace) -> None:
    """Drive real test tracks without exploration, each through ``LatentCarRacing-v0``."""
    model = PPO.load(args.out / "model.zip", device="cpu")  # unpickles: load only what you made or trust
    env = gym.make(REAL, world_model=args.world_model, exact_drawing=True)
    env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    returns = []
    for seed in TEST_SEEDS[: args.episodes]:
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
        print(f"track {seed}: {total:.1f}", flush=True)
    env.close()
    print(f"{len(returns)} test tracks: {np.mean(returns):.1f} ± {np.std(returns, ddof=1):.1f}")
    report = {"first_seed": TEST_SEEDS[0], "mean": np.mean(returns), "std": np.std(returns, ddof=1), "returns": returns}
    (args.out / "real.json").write_text(json.dumps(report, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/sb3-ppo"))
    parser.add_argument("--steps", type=int, default=20_000_000, help="dream steps to learn from")
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--n-steps", type=int, default=64, help="of each environment between updates")
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--n-epochs", type=int, default=2)
    parser.add_argument("--net-arch", type=int, nargs="*", default=[64, 64], help="none: linear")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="falls to nothing with the steps")
    parser.add_argument("--gamma", type=float, default=0.995)
    parser.add_argument("--temperature", type=float, nargs=2, default=(1.0, 1.0), help="drawn for each episode")
    parser.add_argument("--smoothness", type=float, default=1.0, help="penalty on changes of the action")
    parser.add_argument("--steering-penalty", type=float, default=0.1, help="penalty on a frame at full lock")
    parser.add_argument("--episode-steps", type=int, default=250, help="of a dream; what follows is estimated")
    parser.add_argument("--progress-limit", type=float, default=1.2, help="points a frame that progress may pay")
    parser.add_argument("--missed-tile-penalty", type=float, default=30.0, help="for a tile left behind untouched")
    parser.add_argument("--noise", type=float, default=0.07, help="on the features, while learning")
    parser.add_argument("--average", type=float, default=0.97, help="share of the saved mean that an update leaves")
    parser.add_argument("--validation", type=int, default=48, help="validation tracks; 0: the last checkpoint is kept")
    parser.add_argument("--workers", type=int, default=2, help="processes that drive validation tracks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log-interval", type=int, default=10, help="updates between tables")
    parser.add_argument("--world-model", type=Path, help="a bundle's folder; the shipped one when not given")
    parser.add_argument("--evaluate", action="store_true", help="drive real test tracks with model.zip, nothing else")
    parser.add_argument("--episodes", type=int, default=100, help="test tracks to drive")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.evaluate:
        evaluate(args)
    else:
        train_and_choose(args)


if __name__ == "__main__":
    main()
