"""Which polygons of a track a window needs."""

from __future__ import annotations

import pytest
from gymnasium.envs.box2d import car_racing

from dreamgym.worlds.car_racing.fast_rendering.track_polygons import Camera, window_inside_playfield


@pytest.mark.parametrize(("x", "inside"), [(0.0, True), (290.0, True), (333.0, False), (500.0, False)])
def test_a_plain_background_is_only_for_windows_inside_the_playfield(x, inside):
    zoom = car_racing.ZOOM * car_racing.SCALE
    assert window_inside_playfield(Camera.looking(zoom, (500.0 - x * zoom, 200.0), 0.0)) is inside
