"""The page of a run shows the settings that the run has used, and no others."""

from configs import DEMO, demo, read, resolved
from sacp.plan.experiments import Experiments
from sacp.plan.used import used


def test_parts_that_no_stage_takes_are_left_out():
    value = demo()
    value["datasets"]["other"] = {"source": "digits"}
    found = used(Experiments(value))
    assert set(found["datasets"]) == {"digits"}
    assert set(value["experiments"][DEMO]) - set(found["experiments"][DEMO]) == {"latency", "sensitivity"}
    assert set(found) == set(value)


def test_parts_are_there_where_a_method_takes_them():
    methods = {"sacp": {"kind": "search"}, "l1": {"kind": "uniform", "match": "sacp"}}
    value = read("demo") | {"predictors": {"bands": 2}}
    value["defaults"] |= {"methods": methods, "predictors": {"sample": 0}, "latency": {"batches": [8]}}
    found = used(Experiments(resolved(value)))
    names = {"colony", "latency", "predictors", "sample", "sensitivity", "sparse", "sweep", "tune"}
    assert names & set(found["experiments"][DEMO]) == {"latency", "sweep", "tune"}
    assert "predictors" not in found
    value["defaults"]["methods"]["abcpruner"] = {"kind": "colony", "match": "sacp"}
    assert "colony" in used(Experiments(resolved(value)))["experiments"][DEMO]
