import matplotlib.pyplot as plt
from sacp.report.drawing import apart, low_outliers, style


def test_methods_are_told_apart_without_colour():
    styles = [style(number) for number in range(19)]
    assert len({style.marker for style in styles}) == 19
    assert len({(style.colour, style.line) for style in styles[:12]}) == 12


def test_many_methods_are_told_apart_by_marker_and_colour():
    assert len({(style(number).marker, style(number).colour) for number in range(152)}) == 152


def test_accuracies_below_tukeys_outer_fence_are_named_with_their_range():
    """Quartiles 86 and 92: the fence is three times their distance below the lower one."""
    assert low_outliers({"a": [92.0, 94.0], "b": [86.0, 90.0, 67.0]}) == (86.0, "below the axis: b 67.0 %")


def test_accuracies_near_one_another_have_no_outliers():
    """Quartiles nearer than a point count as a point apart."""
    assert low_outliers({"a": [90.0] * 8 + [87.5]}) == (87.5, "")
    assert low_outliers({"a": [90.0] * 8 + [80.0, 86.0]}) == (90.0, "below the axis: a 80.0 to 86.0 %")


def test_points_that_would_hide_one_another_are_side_by_side():
    figure, axes = plt.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    points = [axes.scatter(x, y) for x, y in ((1, 1), (1, 1), (1, 1.01), (8, 8))]
    assert apart(figure, points)
    places = [each.get_offset_transform().transform(each.get_offsets())[0] for each in points]
    step = 9 / 72 * figure.dpi
    assert [round((x - places[0][0]) / step, 6) for x, _ in places[:3]] == [0, 1, 2]
    assert not apart(figure, points)
    plt.close(figure)
