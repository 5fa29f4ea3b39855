"""Processes that measure: their answers, and their end."""

import pytest
from orphans import left_by
from sacp.errors import InputError
from sacp.forecast.processes import side_by_side

NETWORK = {"name": "resnet7", "width": 0.5, "in_channels": 1, "image_size": 8, "num_classes": 10}


def test_a_measurement_that_fails_says_why():
    with pytest.raises(InputError, match=r"the measurement failed: network\.name: unknown network 'resnet7'"):
        side_by_side("sacp.forecast.measure_search", {"threads": 1, "network": NETWORK}, 1)


def test_processes_without_torch_answer_one_request_each():
    idle, answers = side_by_side("sacp.forecast.measure_start", {"threads": 1}, 2)
    assert answers == [{}, {}]
    assert (idle.imports > 0, idle.end >= 0) == (True, True)


PARENT = """
from sacp.forecast.processes import side_by_side
side_by_side("endless", {}, 2)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)  # as one that measures\n")
    assert left_by(tmp_path, PARENT, 2) == []
