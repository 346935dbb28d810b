"""The exported ONNX files give what torch gives, at any sizes, in another runtime."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.export.command import onnx_files
from dreamgym.export.manifest import manifest
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN, State
from dreamgym.memory.mixture import common_noise, sample_mixture
from dreamgym.world_model import PACKAGED, WorldModel
from tests.conftest import ModelFactory

runtime = pytest.importorskip("onnxruntime")

ROWS = 16
Array = NDArray[np.float32]


def session(content: bytes) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(content, options)


def reference(world_model: WorldModel, given: dict[str, Array]) -> dict[str, Array]:
    """A step by the modules that M is trained with."""
    memory, rewards = world_model.memory, world_model.rewards
    told = {name: torch.from_numpy(value) for name, value in given.items()}
    state = memory.step(told["z"], told["action"], State(told["h"], told["c"]))
    prediction = memory.predict(state.h)
    noise = common_noise(told["normal"], prediction.loadings)
    z = sample_mixture(prediction.mixture, told["temperature"][:, 0, None], told["uniform"], noise)
    found = {"next_z": z.clamp(-LATENT_LIMIT, LATENT_LIMIT), "next_h": state.h, "next_c": state.c}
    if memory.reward_head is not None:
        units = memory.reward_head(state.h)
        if rewards.head == "count":
            units = torch.nn.functional.softplus(units)
        if rewards.threshold is not None:
            units = torch.nn.functional.threshold(units, rewards.threshold, 0.0)
        found["units"] = units
    return {name: value.numpy() for name, value in found.items()} | {
        "termination_logit": prediction.termination_logit[:, None].numpy()
    }


def require_same_steps(world_model: WorldModel, step: Any, temperature: float) -> None:
    """Each of 30 steps, from the reference's state and for the same noise and actions."""
    memory, actions = world_model.memory, world_model.actions
    latents, hidden = (ROWS, memory.latent_size), (ROWS, memory.hidden_size)
    rng = np.random.default_rng(0)
    state = {"z": rng.normal(size=latents), "h": np.zeros(hidden), "c": np.zeros(hidden)}
    for _ in range(30):
        noise = {"uniform": rng.random(latents), "normal": rng.normal(size=(ROWS, memory.latent_size + memory.factors))}
        action = rng.uniform(actions.low, actions.high, (ROWS, actions.size))
        given = {**state, **noise, "action": action, "temperature": np.full((ROWS, 1), temperature)}
        given = {name: value.astype(np.float32) for name, value in given.items()}
        wanted = reference(world_model, given)
        names = [output.name for output in step.get_outputs()]
        got = dict(zip(names, step.run(None, given), strict=True))
        for name, value in wanted.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=2e-5, err_msg=name)
        state = {name: wanted[f"next_{name}"] for name in ("z", "h", "c")}


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize(
    ("latents", "hidden", "mixtures", "factors"), [(32, 256, 5, 4), (7, 13, 1, 0), (8, 12, 3, 1), (5, 33, 8, 2)]
)
@pytest.mark.parametrize("temperature", [0.05, 1.0, 3.0])
def test_step_is_torchs(
    make_world_model: ModelFactory,
    latents: int,
    hidden: int,
    mixtures: int,
    factors: int,
    temperature: float,
    half: bool,
) -> None:
    world_model = make_world_model(latent_size=latents, hidden_size=hidden, mixtures=mixtures, factors=factors)
    if half:
        world_model.memory.half().float()
    require_same_steps(world_model, session(onnx_files(world_model, half=half)["step.onnx"]), temperature)


@pytest.mark.parametrize("world", ["car_racing", "doom_take_cover"])
def test_shipped_bundles_are_torchs(world: str) -> None:
    world_model = WorldModel.load(PACKAGED.parent / world)
    files = onnx_files(world_model)
    require_same_steps(world_model, session(files["step.onnx"]), world_model.temperature)
    z = torch.randn(ROWS, world_model.memory.latent_size, generator=torch.Generator().manual_seed(0))
    (image,) = session(files["decoder.onnx"]).run(None, {"z": z.numpy()})
    np.testing.assert_allclose(image, world_model.vision.decode(z).detach().numpy(), atol=1e-3 / 255)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_vision_is_torchs(toy_world_model: WorldModel, half: bool) -> None:
    files, vision = onnx_files(toy_world_model, half=half), toy_world_model.vision
    z = torch.randn(ROWS, vision.latent_size, generator=torch.Generator().manual_seed(0))
    (image,) = session(files["decoder.onnx"]).run(None, {"z": z.numpy()})
    level = 1 / 255
    np.testing.assert_allclose(image, vision.decode(z).numpy(), atol=level if half else 1e-3 * level)
    encoded = session(files["encoder.onnx"]).run(None, {"image": image})
    for got, wanted in zip(encoded, vision.encode(torch.from_numpy(image)), strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-2 if half else 1e-5)


@pytest.mark.parametrize("box", [True, False], ids=["vectors", "discrete"])
@pytest.mark.parametrize("rule", ["given", "thresholds", "argmax"])
def test_controller_gives_executed_actions(toy_world_model: WorldModel, rule: str, box: bool) -> None:
    actions = dataclasses.replace(toy_world_model.actions, rule=rule, threshold=0.2, box=box)
    from dreamgym.export import graphs
    from dreamgym.worlds.base import to_card

    controller = toy_world_model.controller
    assert controller is not None
    facts = {**manifest(toy_world_model), "actions": to_card(actions)}
    starts = toy_world_model.starts
    told = {"z": starts.z.numpy(), "h": starts.h.numpy()}
    (got,) = session(graphs.controller(controller, facts)).run(None, told)
    wanted = actions.executed(controller(np.concatenate([told["z"], told["h"]], axis=1)))
    assert len(np.unique(wanted, axis=0)) > 1
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize(
    "changed", [{"head": "value", "threshold": None}, {"head": "value", "threshold": 0.1}, {"head": "none"}]
)
def test_other_reward_rules(toy_world_model: WorldModel, changed: dict[str, Any]) -> None:
    from dreamgym.export import graphs

    facts = manifest(toy_world_model)
    facts["rewards"] = {**facts["rewards"], **changed}
    memory = toy_world_model.memory
    rng = np.random.default_rng(1)
    sizes = {"z": 8, "h": 12, "c": 12, "action": 3, "uniform": 8, "normal": 12, "temperature": 1}
    given = {name: rng.random((ROWS, size), np.float32) for name, size in sizes.items()}
    h, units = session(graphs.step(memory, facts)).run(["next_h", "units"], given)
    output = memory.reward_head(torch.from_numpy(h)).numpy()
    wanted = {
        "none": np.zeros_like(output),
        "value": np.where(output > (changed.get("threshold") or -np.inf), output, 0.0),
    }
    np.testing.assert_allclose(units, wanted[changed["head"]], atol=1e-6)


def test_without_a_reward_head_the_end_is_still_the_end(toy_world_model: WorldModel) -> None:
    from dreamgym.export import graphs

    memory = MDNRNN(8, 3, 12, 3, reward="none", event=False).eval().requires_grad_(False)
    facts = manifest(toy_world_model)
    facts["rewards"] = {**facts["rewards"], "head": "none"}
    rng = np.random.default_rng(1)
    sizes = {"z": 8, "h": 12, "c": 12, "action": 3, "uniform": 8, "normal": 12, "temperature": 1}
    given = {name: rng.random((ROWS, size), np.float32) for name, size in sizes.items()}
    h, units, logit = session(graphs.step(memory, facts)).run(["next_h", "units", "termination_logit"], given)
    assert not units.any()
    np.testing.assert_allclose(logit, memory.termination_head(torch.from_numpy(h)).numpy(), atol=1e-6)


def test_same_bytes_each_time_and_none_of_this_machine(toy_world_model: WorldModel) -> None:
    files = onnx_files(toy_world_model)
    assert files == onnx_files(toy_world_model)
    here = str(Path(__file__).parents[2]).encode()
    assert not [name for name, content in files.items() if here in content]
