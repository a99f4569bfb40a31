"""Drawings: values stand where they belong, ticks are round, and words are text."""

from xml.etree import ElementTree

import pytest

from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.html import from_markdown, table
from epimesh.evaluation.report.plots import per_object, strip_plot
from epimesh.evaluation.report.summary import summarise
from epimesh.evaluation.report.svg import Scale, number

ROWS = [
    Scores("cup", "generator", 0, values={"f_score": 0.2}),
    Scores("cup", "generator", 1, values={"f_score": 0.4}),
    Scores("a<b", "generator", 0, values={"f_score": 0.9}),
    Scores("cup", "copy", values={"f_score": 0.1}),
    Scores("hat", "copy", values={"f_score": float("inf")}),
    Scores("hat", "generator", 0, failure="no"),
]


def test_the_ends_of_a_scale_stand_at_its_ends_and_ticks_are_round_and_between() -> None:
    scale = Scale(-0.013, 0.49, 100.0, 300.0)
    assert (scale.at(-0.013), scale.at(0.49)) == (100, 300)
    assert scale.ticks() == pytest.approx([0, 0.2, 0.4])
    assert Scale(12.0, 31.0, 0.0, 1.0).ticks() == pytest.approx([15, 20, 25, 30])


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-2.0, 5.0], [1e-5, 2e-5], [1e4, 9e4]])
def test_a_scale_around_values_holds_all_of_them_with_some_ticks(values: list[float]) -> None:
    scale = Scale.around(values, 0.0, 100.0)
    assert all(0 < scale.at(value) < 100 for value in values)
    assert 2 <= len(scale.ticks()) <= 11
    assert all(scale.low <= tick <= scale.high + 1e-9 for tick in scale.ticks())


def test_numbers_are_short() -> None:
    shown = [number(value) for value in (0.1234, -0.05, 0.0, 1.234, 12.34, 100.0)]
    assert shown == [".123", "-.0500", "0", "1.23", "12.3", "100.0"]


def test_a_dot_stands_for_an_object_at_its_mean_over_seeds() -> None:
    values = per_object(ROWS, "f_score")
    assert values == {"generator": {"cup": pytest.approx(0.3), "a<b": 0.9}, "copy": {"cup": 0.1}}
    known = {one.method: one for one in summarise(ROWS[:4])}
    drawing = ElementTree.fromstring(strip_plot("F-score", values, known, "generator"))
    dots = [element for element in drawing.iter() if element.tag.endswith("circle")]
    assert [dot[0].text for dot in dots] == ["cup: .300", "a<b: .900", "cup: .100"]
    places = [float(dot.attrib["cx"]) for dot in dots]
    assert places[1] - places[0] == pytest.approx(3 * (places[0] - places[2]), abs=0.5)  # .6 and .2 apart
    assert [dot.attrib["class"] for dot in dots] == ["main", "main", "other"]


def test_markdown_becomes_tables_lists_and_text_and_nothing_else() -> None:
    page = from_markdown("## A & B\n\n| x | y |\n|---|---|\n| <1> | **2** |\n\n- one\n- two\n\nsome `code`\nhere")
    assert "<h2>A &amp; B</h2>" in page
    assert "<td class=words>&lt;1&gt;</td><td><b>2</b></td>" in page
    assert "<ul><li>one</li><li>two</li></ul>" in page
    assert "<p>some <code>code</code> here</p>" in page


def test_columns_of_words_may_wrap_columns_of_numbers_may_not_and_no_cell_is_lost() -> None:
    page = from_markdown("| method | dB | from | |\n|---|---|---|---|\n| a | 1.5 | here | |\n| b | | 3 objects | \\* |")
    assert "<td class=words>a</td><td>1.5</td><td class=words>here</td><td class=words></td>" in page
    assert "<td class=words>b</td><td></td><td class=words>3 objects</td><td class=words>*</td>" in page
    assert "<thead>" not in table(["", ""], [["a", "1"]])
