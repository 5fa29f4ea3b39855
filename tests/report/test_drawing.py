from sacp.report.drawing import style


def test_twelve_methods_are_told_apart_without_colour():
    styles = [style(number) for number in range(12)]
    assert len({style.marker for style in styles}) == 12
    assert len({(style.colour, style.line) for style in styles}) == 12


def test_many_methods_are_told_apart_by_marker_and_colour():
    assert len({(style(number).marker, style(number).colour) for number in range(96)}) == 96
