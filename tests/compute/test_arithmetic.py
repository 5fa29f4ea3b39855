"""What the config's precision means on a device, and that it is refused where it means nothing."""

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from sacp.compute.arithmetic import AUTO, PRECISIONS, Engine, engine_of, has_bfloat16
from sacp.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("capabilities", "mkldnn", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True, True),
        ({"avx512_bf16": True, "amx_bf16": True}, False, False),  # nothing would use the units
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, True, False),
        ({"avx2": True}, True, False),
        ({"architecture": "aarch64", "bf16": True}, True, False),  # not measured
    ],
)
def test_a_processor_is_fast_in_bfloat16_if_it_has_units_that_torch_uses(monkeypatch, capabilities, mkldnn, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: mkldnn)
    assert has_bfloat16(CPU) is expected


@pytest.mark.parametrize(("major", "expected"), [(7, False), (8, True), (9, True)])
def test_a_gpu_is_fast_in_bfloat16_from_compute_capability_8_on(monkeypatch, major, expected):
    properties = type("Properties", (), {"major": major})()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert has_bfloat16(GPU) is expected


@pytest.mark.parametrize(
    ("asked", "device", "fast", "expected"),
    [
        ("auto", CPU, True, "bfloat16"), ("auto", CPU, False, "float32"),
        ("auto", GPU, True, "bfloat16"), ("auto", GPU, False, "float32"),
        ("float32", CPU, True, "float32"), ("bfloat16", CPU, False, "bfloat16"),
        ("tf32", GPU, False, "tf32"), ("tf32", CPU, True, "float32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("deterministic", [True, False])
def test_only_auto_depends_on_what_the_device_is_fast_at(asked, device, fast, expected, deterministic):
    settings = {"precision": asked, "deterministic": deterministic}
    assert engine_of(settings, device, fast) == Engine(expected, deterministic)


def test_tf32_without_a_gpu_is_said(caplog):
    engine_of({"precision": "tf32", "deterministic": True}, CPU, False)
    assert "tf32 is a format of GPUs; computing in float32 on cpu" in caplog.text


@pytest.mark.parametrize("precision", [*PRECISIONS, "float16", "", AUTO])
def test_an_engine_has_a_precision_that_it_computes_in(precision):
    known: AbstractContextManager = nullcontext()
    expected = rf"^precision: unknown '{precision}'; known: float32, tf32, bfloat16$"
    with known if precision in PRECISIONS else pytest.raises(InputError, match=expected):
        Engine(precision)


def test_an_unknown_precision_of_a_config_is_refused():
    with pytest.raises(InputError, match="precision: unknown 'float16'"):
        engine_of({"precision": "float16", "deterministic": True}, CPU, True)
