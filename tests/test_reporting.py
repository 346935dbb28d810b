"""Tables, and where a result came from."""

from __future__ import annotations

from pathlib import Path

from dreamgym.config import EvaluateConfig
from dreamgym.reporting import markdown_table, provenance, text_table
from dreamgym.world_model import PACKAGED, WorldModel
from dreamgym.worlds.car_racing.world import CAR_RACING


def test_text_table_sets_names_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("", "mean"), ("reality", "9.5"), ("x", "10.25")]
    assert text_table(rows).splitlines() == ["          mean", "reality    9.5", "x        10.25"]


def test_markdown_table_has_a_line_a_row() -> None:
    assert markdown_table(("what", "n"), [("a", 1)]) == "| what   |   n |\n|:-------|----:|\n| a      |   1 |"


def test_markdown_table_leaves_cells_as_they_were_formatted() -> None:
    lines = markdown_table(("what", "n", "m"), [("0.10", "+3", ""), ("a", "1,000", "**no**")]).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]] == [
        ["0.10", "+3", ""],
        ["a", "1,000", "**no**"],
    ]


def test_markdown_table_without_rows_is_its_header() -> None:
    assert markdown_table(("what", "n"), []).split("\n")[0].split() == ["|", "what", "|", "n", "|"]


def test_a_report_names_no_folder_of_this_machine_for_the_package_s_own_bundle(
    toy_bundle: Path, toy_world_model: WorldModel
) -> None:
    for folder, named in (
        (PACKAGED, "the package"),
        (PACKAGED.with_name("doom_take_cover"), "the package"),
        (toy_bundle, str(toy_bundle)),
    ):
        assert provenance(EvaluateConfig(), CAR_RACING, toy_world_model, folder)["world_model"]["folder"] == named


def test_a_report_says_which_rule_its_scores_were_made_with(toy_bundle: Path, toy_world_model: WorldModel) -> None:
    found = provenance(EvaluateConfig(), CAR_RACING, toy_world_model, toy_bundle)
    assert found["score_rule"] == "a lap ends when every tile was visited"
