"""The batched dream against the networks it is made of, and row by row against itself."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamgym.dream.core import DreamCore
from dreamgym.errors import ActionError, ConfigError, DivergedError, ResetNeededError, TemperatureError
from dreamgym.memory.mdn_rnn import State
from dreamgym.memory.mixture import sample_mixture
from dreamgym.world_model import WorldModel

SIZES = [{}, {"latent_size": 5, "hidden_size": 7, "mixtures": 2}, {"latent_size": 6, "hidden_size": 10, "mixtures": 1}]


def drive(seeds: Tensor, frame: int) -> Tensor:
    """Actions that depend on the row's seed and the frame alone, float32 (B, 3)."""
    phase = ((seeds[:, None] * 7 + torch.arange(3) * 3 + frame) % 11).float() / 11
    return torch.stack([2 * phase[:, 0] - 1, phase[:, 1], phase[:, 2]], dim=1)


def started(world_model: WorldModel, count: int, **options: object) -> DreamCore:
    core = DreamCore(world_model, count, **options)  # type: ignore[arg-type]
    core.reset(seeds=torch.arange(count))
    return core


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_step_is_what_the_networks_say(make_world_model: Callable[..., WorldModel], sizes: dict[str, int]) -> None:
    """z, h and c by MDNRNN and sample_mixture: the same up to rounding."""
    model = make_world_model(**sizes)
    core = DreamCore(model, 6, temperature=(0.5, 1.5))
    core.reset(seeds=torch.arange(6), start="anywhere")
    for frame in range(30):
        z, h, c, elapsed = core.z.clone(), core.h.clone(), core.c.clone(), core.elapsed.clone()
        actions = drive(core.seed, frame)
        core.step(actions)
        state = model.memory.step(z, actions, State(h, c))
        torch.testing.assert_close(core.h, state.h, atol=2e-6, rtol=0)
        torch.testing.assert_close(core.c, state.c, atol=2e-6, rtol=0)
        said, reference = core.last_prediction, model.memory.predict(state.h)
        for ours, theirs in zip(said, reference, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        uniform, normal, _ = core.kernel.noise(core._keys[:6], elapsed)
        drawn = sample_mixture(said.mixture, core.temperature[:, None], uniform, normal)
        torch.testing.assert_close(core.z, drawn.clamp(-10, 10), atol=1e-5, rtol=1e-5)


def test_teacher_forced_it_gives_the_hidden_states_of_a_sequence(toy_world_model: WorldModel) -> None:
    """The order of one step: M consumes the z that the controller saw and the action that was executed, once."""
    memory = toy_world_model.memory
    torch.manual_seed(1)
    z, actions = torch.randn(4, 20, memory.latent_size), torch.rand(4, 20, 3)
    expected, _ = memory(z, actions)
    core = started(toy_world_model, 4)
    assert not core.h.any()
    for frame in range(20):
        core.z.copy_(z[:, frame])
        core.step(actions[:, frame])
        torch.testing.assert_close(core.h, expected[:, frame], atol=2e-6, rtol=0)


def rollout(core: DreamCore, seeds: Tensor, frames: int = 25) -> Tensor:
    """Rewards and features of a drive with a reset of some rows on the way, (B, ...)."""
    core.reset(seeds=seeds, start="anywhere")
    seen = []
    for frame in range(frames):
        step = core.step(drive(seeds, frame))
        seen.append(torch.cat([step.reward[:, None], core.features, core.temperature[:, None]], dim=1))
        if frame % 5 == 4:
            core.reset(seeds % 3 == frame % 3, start="anywhere")
    return torch.stack(seen, dim=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", [*SIZES, {"latent_size": 32, "hidden_size": 256, "mixtures": 5}])
def test_rows_do_not_depend_on_batch_neighbours_or_threads(
    make_world_model: Callable[..., WorldModel],
    threads: Callable[[int], None],
    sizes: dict[str, int],
    precision: str,
) -> None:
    model = make_world_model(**sizes)

    def run(seeds: Tensor) -> Tensor:
        return rollout(DreamCore(model, len(seeds), temperature=(0.8, 1.2), precision=precision), seeds)

    threads(1)
    together = run(torch.arange(300))
    assert together.isfinite().all()
    for count, used in ((1, 1), (1, 2), (2, 1), (15, 2), (17, 1), (64, 3), (130, 2), (300, 2), (300, 3)):
        threads(used)
        assert torch.equal(run(torch.arange(count)), together[:count]), (count, used)
    elsewhere = torch.tensor([250, 3, 250, 99])
    assert torch.equal(run(elsewhere), together[elsewhere])


ROLLOUT = """
import hashlib, sys, torch
from dreamgym.dream.core import DreamCore
from dreamgym.world_model import WorldModel

core = DreamCore(WorldModel.load(sys.argv[1]), 3, temperature=(0.5, 2.0))
core.reset(seeds=torch.tensor([5, 6, 7]), start="anywhere")
digest = hashlib.sha256()
for frame in range(1000):
    core.step(torch.full((3, 3), (frame % 7) / 7))
    digest.update(core.features.contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


def test_a_thousand_steps_repeat_to_the_bit_in_another_process(
    toy_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["rollout", str(toy_bundle)])
    exec(ROLLOUT, {})
    here = capsys.readouterr().out
    command = [sys.executable, "-c", ROLLOUT, str(toy_bundle)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert here == there
    assert len(here) == 65


def test_reset_with_a_seed_repeats_and_without_goes_on(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 2)
    seeds = torch.tensor([3, 4])
    episodes = []
    for given in (seeds, None, None, seeds, None):
        core.reset(seeds=given)
        core.step(torch.zeros(2, 3))
        episodes.append(core.features.clone())
    first, second, third, again, second_again = episodes
    assert torch.equal(first, again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert core.episode.tolist() == [1, 1]


def test_unseeded_rows_differ_and_leave_the_global_generators_alone(toy_world_model: WorldModel) -> None:
    before = torch.get_rng_state()
    core = DreamCore(toy_world_model, 4)
    core.reset()
    core.step(torch.zeros(4, 3))
    assert len({tuple(row) for row in core.z.tolist()}) == 4
    assert torch.equal(torch.get_rng_state(), before)


def test_saved_state_replays_exactly(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 3, temperature=(0.7, 1.4))
    for frame in range(20):
        core.step(drive(core.seed, frame))
    saved = core.get_state()
    futures = []
    for target in (core, core, DreamCore(toy_world_model, 3)):
        target.set_state(saved)
        futures.append([])
        for frame in range(200):
            step = target.step(drive(target.seed, frame))
            if frame % 50 == 49:
                target.reset(torch.tensor([True, False, True]))
            futures[-1].append(torch.cat([step.reward[:, None], target.features, target.temperature[:, None]], dim=1))
    for future in futures[1:]:
        assert torch.equal(torch.stack(future), torch.stack(futures[0]))
    with pytest.raises(ConfigError, match="num_envs"):
        DreamCore(toy_world_model, 4).set_state(saved)
    with pytest.raises(ConfigError, match="expected a state"):
        core.set_state({"z": saved["z"]})


def test_rows_that_are_not_active_stay_as_they_are(toy_world_model: WorldModel) -> None:
    core, free = started(toy_world_model, 4), started(toy_world_model, 4)
    active = torch.tensor([True, False, True, False])
    before = core.get_state()
    actions = torch.zeros(4, 3)
    actions[1] = torch.nan
    step = core.step(actions, active)
    free.step(torch.zeros(4, 3))
    after = core.get_state()
    for name, value in after.items():
        assert torch.equal(value[~active], before[name][~active]), name
    assert torch.equal(core.features[active], free.features[active])
    assert step.reward[~active].tolist() == [0.0, 0.0]
    assert (step.reward[active] != 0).all()
    assert core.elapsed.tolist() == [1, 0, 1, 0]
    core.step(torch.zeros(4, 3), ~active)
    assert torch.equal(core.features, free.features)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (torch.zeros(2, 2), r"\(2, 3\).*\(2, 2\)"),
        (torch.zeros(3), r"\(2, 3\).*\(3,\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "int64"),
        (torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0]]), "nan.*row 1"),
        (torch.tensor([[torch.inf, 0, 0], [0.0, 0, 0]]), "inf.*row 0"),
        (torch.tensor([[0.0, -0.01, 0], [0.0, 0, 0]]), "row 0"),
        (torch.tensor([[0.0, 0, 0], [0.0, 0, 1.00001]]), "row 1"),
    ],
)
def test_bad_actions_change_nothing(toy_world_model: WorldModel, actions: Tensor, message: str) -> None:
    core = started(toy_world_model, 2)
    core.step(torch.zeros(2, 3))
    before = core.get_state()
    with pytest.raises(ActionError, match=message):
        core.step(actions)
    assert same(core.get_state(), before)


def test_actions_a_rounding_error_outside_are_cut(toy_world_model: WorldModel) -> None:
    left, right = started(toy_world_model, 1), started(toy_world_model, 1)
    left.step(torch.tensor([[1.0 + 5e-7, -5e-7, 0.0]]))
    right.step(torch.tensor([[1.0, 0.0, 0.0]]))
    assert torch.equal(left.features, right.features)


def test_step_before_reset(toy_world_model: WorldModel) -> None:
    core = DreamCore(toy_world_model, 3)
    with pytest.raises(ResetNeededError, match=r"rows \[0, 1, 2\]"):
        core.step(torch.zeros(3, 3))
    with pytest.raises(ResetNeededError):
        _ = core.last_prediction
    core.reset(torch.tensor([True, False, True]))
    with pytest.raises(ResetNeededError, match=r"rows \[1\]"):
        core.step(torch.zeros(3, 3))
    core.step(torch.zeros(3, 3), torch.tensor([True, False, True]))


def test_arguments_out_of_range(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="num_envs"):
        DreamCore(toy_world_model, 0)
    with pytest.raises(ConfigError, match="max_episode_steps"):
        DreamCore(toy_world_model, 1, max_episode_steps=0)
    with pytest.raises(ConfigError, match="precision"):
        DreamCore(toy_world_model, 1, precision="float16")
    core = started(toy_world_model, 2)
    before = core.get_state()
    with pytest.raises(ConfigError, match="mask"):
        core.reset(torch.ones(3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="seeds"):
        core.reset(seeds=torch.zeros(3, dtype=torch.int64))
    assert same(core.get_state(), before)


def test_thread_setting_is_given_back(toy_world_model: WorldModel, threads: Callable[[int], None]) -> None:
    threads(3)
    core = started(toy_world_model, 200)
    core.step(torch.zeros(200, 3))
    assert torch.get_num_threads() == 3
    core.c[7] = torch.nan
    with pytest.raises(DivergedError):
        core.step(torch.zeros(200, 3))
    assert torch.get_num_threads() == 3


def test_nan_in_a_weight_is_named(toy_world_model: WorldModel) -> None:
    for name in ("recurrent_weight", "progress_head.bias"):
        memory = copy.deepcopy(toy_world_model.memory)
        memory.state_dict()[name].flatten()[0] = torch.nan
        broken = WorldModel(toy_world_model.vision, memory, toy_world_model.starts)
        with pytest.raises(DivergedError, match=name):
            DreamCore(broken, 2)


def test_nan_in_one_row_is_named_and_the_others_go_on(toy_world_model: WorldModel) -> None:
    core, healthy = started(toy_world_model, 5), started(toy_world_model, 5)
    for frame in range(5):
        core.step(drive(core.seed, frame))
        healthy.step(drive(healthy.seed, frame))
    core.c[3] = torch.nan
    before = core.features.clone()
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"rows \[3\]"):
            core.step(drive(core.seed, 5))
        assert core.diverged.tolist() == [False, False, False, True, False]
        assert torch.equal(core.features, before)
    core.reset(core.diverged)
    others = torch.tensor([0, 1, 2, 4])
    for frame in range(5, 12):
        ours, theirs = core.step(drive(core.seed, frame)), healthy.step(drive(healthy.seed, frame))
        assert torch.equal(core.features[others], healthy.features[others])
        assert torch.equal(ours.reward[others], theirs.reward[others])
        assert torch.isfinite(core.features).all()


def test_weights_are_copies(make_world_model: Callable[..., WorldModel]) -> None:
    model = make_world_model(seed=3)
    core = started(model, 1)
    with torch.no_grad():
        model.memory.input_weight.fill_(torch.nan)
    core.step(torch.zeros(1, 3))
    assert torch.isfinite(core.features).all()


def test_latents_are_cut_at_ten_and_counted(make_world_model: Callable[..., WorldModel]) -> None:
    model = make_world_model(seed=4)
    with torch.no_grad():
        means = model.memory.mixture_head.bias.unflatten(0, (3, 3, 8))[1]
        means[:, 0], means[:, 1] = 500.0, -500.0
    core = started(model, 3)
    core.step(torch.zeros(3, 3))
    assert core.z[:, 0].tolist() == [10.0] * 3
    assert core.z[:, 1].tolist() == [-10.0] * 3
    assert core.z[:, 2:].abs().max() < 10
    assert core.clamped == 6
    core.step(torch.zeros(3, 3), torch.tensor([True, False, False]))
    assert core.clamped == 8


def test_temperature_forms(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 4)
    assert core.temperature.tolist() == [1.0] * 4  # the card's
    core.set_temperature(0.5, torch.tensor([True, False, False, False]))
    assert core.temperature.tolist() == [0.5, 1.0, 1.0, 1.0]
    core.set_temperature([0.25, 2.0])
    assert core.temperature.tolist() == [0.5, 1.0, 1.0, 1.0]
    drawn = []
    for _ in range(100):
        core.reset()
        drawn.append(core.temperature.clone())
    spread = torch.cat(drawn)
    assert spread.min() >= 0.25
    assert spread.max() <= 2.0
    assert abs(float(spread.mean()) - 1.125) < 5 * 1.75 / (12 * 400) ** 0.5
    core.reset(temperature=3.0)
    assert core.temperature.tolist() == [3.0] * 4
    core.reset()
    assert (core.temperature <= 2.0).all()
    core.set_temperature(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    core.reset()
    assert core.temperature.tolist() == [1.0, 2.0, 3.0, 4.0]
    core.set_temperature(None)
    assert core.temperature.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    "value", [0, -1.0, float("nan"), float("inf"), 1e-60, (1.0, 0.5), (0.0, 1.0), (1.0,), (1, 2, 3), "1", True, {}]
)
def test_bad_temperatures_change_nothing(toy_world_model: WorldModel, value: object) -> None:
    core = started(toy_world_model, 2)
    before = core.get_state()
    for attempt in (core.set_temperature, lambda bad: core.reset(temperature=bad)):
        with pytest.raises(TemperatureError, match="temperature"):
            attempt(value)  # type: ignore[arg-type]
    with pytest.raises(TemperatureError):
        DreamCore(toy_world_model, 2, temperature=value)  # type: ignore[arg-type]
    assert same(core.get_state(), before)


@pytest.mark.slow
def test_a_long_dream_stays_bounded(toy_world_model: WorldModel) -> None:
    core = started(toy_world_model, 16, temperature=(0.5, 4.0), max_episode_steps=None)
    torch.manual_seed(0)
    extremes = torch.randint(0, 2, (100, 16, 3)).float()
    for frame in range(100_000):
        core.step(extremes[frame // 10 % 100])
    assert core.z.abs().max() <= 10
    assert core.h.abs().max() <= 1
    assert core.c.abs().max() < 1000
    assert core.elapsed.tolist() == [100_000] * 16
