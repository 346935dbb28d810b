"""The page in a real browser: keys, fingers, slider, a lap, links, pictures. Needs playwright and a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgym.dream.core import DreamCore
from dreamgym.web.build import page_files, single_page
from dreamgym.world_model import WorldModel
from tests.support.browser import OPTIONS, find_browser, served

pytestmark = pytest.mark.slow
playwright_api = pytest.importorskip("playwright.sync_api")

PHONE = {"width": 390, "height": 844}
PATIENCE = 300_000
"""Milliseconds that a browser on a busy machine is given for anything."""
READY = "globalThis.dreamPage !== undefined"
STATE = "() => { const { dream, inputs, seed } = dreamPage.session; return { elapsed: dream.elapsed, over: dream.over, \
score: dream.score, z: [...dream.z], agent: inputs.agent, temperature: inputs.temperature, held: inputs.held, seed }; }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_browser(), args=list(OPTIONS), timeout=PATIENCE)
        yield launched
        launched.close()


@contextmanager
def opened_context(browser: Any, **options: Any) -> Iterator[Any]:
    with browser.new_context(**options) as context:
        context.set_default_timeout(PATIENCE)
        yield context


@pytest.fixture(scope="module")
def page_file(steady_world_model: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "dream.html"
    path.write_bytes(single_page(page_files(steady_world_model)))
    return path


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    """The single file, opened as a file; whatever it asks the network for or says on the console is an error."""
    with opened_context(browser, has_touch=True) as context:
        opened = context.new_page()
        messages: list[str] = []
        opened.on("console", lambda message: messages.append(message.text))
        opened.on("pageerror", lambda error: messages.append(str(error)))
        opened.on(
            "request",
            lambda request: None if request.url[:5] in ("file:", "data:", "blob:") else messages.append(request.url),
        )
        opened.goto(f"{page_file.as_uri()}#seed=5&start=0")
        opened.wait_for_function(READY)
        yield opened
        assert messages == []


def state(page: Any) -> Any:
    return page.evaluate(STATE)


def wait_for_steps(page: Any, count: int) -> None:
    page.wait_for_function(f"dreamPage.session.dream.elapsed >= {count}")


def test_waits_for_a_start_and_then_the_agent_plays(page: Any) -> None:
    assert page.inner_text("#start") == "Start"
    assert state(page)["elapsed"] == 0
    page.click("#start")
    wait_for_steps(page, 10)
    assert state(page)["agent"] == 1
    assert page.is_hidden("#overlay")


def test_a_key_takes_over_and_c_gives_back(page: Any) -> None:
    page.keyboard.down("ArrowLeft")
    wait_for_steps(page, 20)
    assert (state(page)["agent"], state(page)["held"]) == (0, 1)
    assert page.evaluate("() => dreamPage.session.action")[0] == -1
    page.keyboard.up("ArrowLeft")
    page.keyboard.press("c")
    assert state(page)["agent"] == 1


def test_two_fingers_steer_and_accelerate(page: Any) -> None:
    page.evaluate("() => document.documentElement.classList.add('touch')")
    page.locator("[data-key='2']").scroll_into_view_if_needed()
    devtools = page.context.new_cdp_session(page)
    pads = [page.locator(f"[data-key='{index}']").bounding_box() for index in (0, 2)]
    points = [{"x": box["x"] + 10, "y": box["y"] + 10, "id": i} for i, box in enumerate(pads)]
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
    wait_for_steps(page, 30)
    assert state(page)["held"] == 0b101
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": points[1:]})
    page.wait_for_function("dreamPage.session.inputs.held === 1")
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("dreamPage.session.inputs.held === 0")


def test_slider_acts_at_once_and_keeps_its_keys(page: Any) -> None:
    page.fill("#temperature", "2.5")
    assert page.inner_text("#degrees") == "2.50"
    page.focus("#temperature")
    page.keyboard.press("ArrowLeft")
    assert (state(page)["temperature"], state(page)["elapsed"]) == (245, 0)
    page.click("#cooler")
    assert state(page)["temperature"] == 240


def test_keys_in_the_seed_do_not_play(page: Any) -> None:
    page.fill("#seed", "12")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert state(page)["elapsed"] == 0
    assert state(page)["seed"] == 13


def test_paused_dream_stays_and_goes_on(page: Any) -> None:
    page.click("#start")
    wait_for_steps(page, 5)
    page.keyboard.press("Space")
    before = state(page)
    page.wait_for_timeout(200)
    assert state(page) == before
    assert page.inner_text("#start") == "Go on"
    page.keyboard.press("Space")
    wait_for_steps(page, before["elapsed"] + 5)


def test_episode_of_the_agent_scores_as_in_python(page: Any, steady_world_model: WorldModel) -> None:
    page.click("#start")
    page.wait_for_function("dreamPage.session.dream.over !== null")
    core = DreamCore(steady_world_model, 1)
    core.reset(seeds=torch.tensor([5]), start=0)
    score, over = 0.0, False
    assert steady_world_model.controller is not None
    while not over:
        step = core.step(torch.from_numpy(steady_world_model.controller(core.features.numpy())))
        score, over = score + step.reward.item(), bool(step.terminated | step.truncated)
    ended = state(page)
    assert ended["elapsed"] == int(core.elapsed)
    assert ended["score"] == pytest.approx(score, abs=0.01)
    assert page.inner_text("#start") == "Dream again"


def test_link_repeats_what_was_played(page: Any, browser: Any) -> None:
    page.keyboard.down("ArrowUp")
    wait_for_steps(page, 15)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    wait_for_steps(page, 30)
    page.keyboard.press("p")
    page.keyboard.up("ArrowUp")
    page.click("#link")
    page.wait_for_function("location.hash.includes('do=')")
    played = state(page)
    with opened_context(browser) as context:
        other = context.new_page()
        other.goto(page.url)
        other.wait_for_function(READY)
        assert other.inner_text("#start") == "Watch"
        other.click("#start")
        other.wait_for_function("dreamPage.session.replay === null")
        repeated = state(other)
    assert repeated["z"] == played["z"]
    assert repeated["score"] == played["score"]


@pytest.mark.parametrize(
    "hash_", ["#seed=x", "#seed=5&start=99", "#seed=5&start=0&steps=9&do=!!", "#seed=5&start=0&steps=9&do=AAIC&of=0123"]
)
def test_cut_link_says_so_and_still_dreams(page: Any, page_file: Path, hash_: str) -> None:
    page.goto(page_file.as_uri() + "#")
    page.evaluate(f"() => {{ location.hash = '{hash_}'; }}")
    page.wait_for_function("document.getElementById('hint').textContent.includes('The link was cut')")
    page.click("#start")
    wait_for_steps(page, 3)


def test_a_world_of_few_frames_a_second_moves_too(page: Any) -> None:
    page.evaluate("dreamPage.session.seconds = 0.25")
    page.click("#start")
    page.wait_for_function("dreamPage.session.dream.elapsed >= 2", timeout=60_000)


def test_look_ahead_of_a_world_of_one_frame_a_second_steps_each_time(page: Any) -> None:
    page.evaluate("dreamPage.session.dream.manifest.fps = 1")
    page.keyboard.press("f")
    assert page.locator(".times span").all_inner_texts()[1:3] == ["1.0 s", "2.0 s"]


def test_look_ahead_draws_three_rows_and_changes_nothing(page: Any) -> None:
    page.click("#start")
    wait_for_steps(page, 5)
    page.keyboard.press("f")
    before = state(page)
    assert page.locator("#rows canvas").count() == 30
    page.keyboard.press("f")
    assert state(page) == before


def test_gif_can_be_read(page: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    page.click("#start")
    wait_for_steps(page, 30)
    with page.expect_download() as download:
        page.click("#gif")
    with image.open(io.BytesIO(download.value.path().read_bytes())) as gif:
        assert gif.size == (240, 168)
        assert gif.n_frames >= 8
        gif.seek(gif.n_frames - 1)
        shown = gif.convert("RGB").resize((64, 64))
    pixels = page.evaluate("() => { const { dream } = dreamPage.session; return [...dream.picture()]; }")
    wanted = image.frombytes("RGBA", (64, 64), bytes(pixels)).convert("RGB")
    difference = [abs(a - b) for a, b in zip(shown.tobytes(), wanted.tobytes(), strict=True)]
    assert sum(difference) / len(difference) < 12  # a palette of 128 colours


def test_without_webassembly_plain_javascript_dreams(browser: Any, page_file: Path) -> None:
    with opened_context(browser) as context:
        context.add_init_script("delete globalThis.WebAssembly")
        page = context.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_function(READY)
        assert "no WebAssembly" in page.inner_text("#engine")
        page.click("#start")
        wait_for_steps(page, 3)


def test_folder_works_under_a_path_of_a_server(browser: Any, steady_world_model: WorldModel, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "path"
    folder.mkdir(parents=True)
    for name, content in page_files(steady_world_model).items():
        (folder / name).write_bytes(content)
    with served(tmp_path) as (address, _), opened_context(browser) as context:
        page = context.new_page()
        page.goto(f"{address}/some/path/")
        page.wait_for_function(READY)
        (folder / "dream.safetensors").unlink()
        page.reload()
        page.wait_for_selector("[role=alert]")
        assert "Expected dream.safetensors beside this page" in page.inner_text("#hint")


def test_picture_is_on_the_screen(page: Any) -> None:
    page.click("#start")
    wait_for_steps(page, 5)
    page.keyboard.press("Space")
    shown = page.evaluate("() => document.getElementById('picture').toDataURL().split(',')[1]")
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(base64.b64decode(shown))) as picture:
        assert len(set(picture.convert("RGB").getdata())) > 5  # an untrained V is grey


def test_folder_opened_as_a_file_says_what_to_do(browser: Any, steady_world_model: WorldModel, tmp_path: Path) -> None:
    for name, content in page_files(steady_world_model).items():
        (tmp_path / name).write_bytes(content)
    with opened_context(browser) as context:
        page = context.new_page()
        page.goto((tmp_path / "index.html").as_uri())
        page.wait_for_function("document.getElementById('hint').textContent.includes('needs a web server')")


def test_tilt_steers(browser: Any, page_file: Path) -> None:
    with opened_context(browser, has_touch=True, is_mobile=True, viewport=PHONE) as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_function(READY)
        page.evaluate("() => { DeviceOrientationEvent.requestPermission = async () => 'granted'; }")
        page.click("#tilt")
        page.evaluate("() => dispatchEvent(new DeviceOrientationEvent('deviceorientation', { beta: 40, gamma: 15 }))")
        page.wait_for_function("dreamPage.session.inputs.tilt === 32")
        assert page.evaluate("() => dreamPage.session.action")[0] == 0.5
        assert page.get_attribute("#tilt", "aria-pressed") == "true"
