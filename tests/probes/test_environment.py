from __future__ import annotations

from moe_doctor.probes.environment import VARIABLES, find_variable, probe_environment
from moe_doctor.probes.redact import Redactor

REDACTOR = Redactor(home="/home/bob", user="bob", host="node1")


def test_only_variables_that_matter_are_stored() -> None:
    environ = {
        "VLLM_USE_FLASHINFER_MOE_FP16": "1",
        "VLLM_FLASHINFER_MOE_BACKEND": "throughput",
        "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE": "163840",
        "CUDA_HOME": "/home/bob/cuda",
        "HF_ENDPOINT": "https://bob:pw@mirror.example",
        "HF_TOKEN": "hf_abcdefghijklmnopqrstuv",
        "VLLM_API_KEY": "12345678",
        "SSH_CONNECTION": "10.0.0.1 22",
        "PATH": "/usr/bin",
    }
    assert probe_environment(environ, REDACTOR) == {
        "VLLM_USE_FLASHINFER_MOE_FP16": "1",
        "VLLM_FLASHINFER_MOE_BACKEND": "throughput",
        "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE": "163840",
        "CUDA_HOME": "~/cuda",
        "HF_ENDPOINT": "https://***@mirror.example",
    }


def test_a_misspelled_variable_shows_and_an_address_does_not() -> None:
    environ = {"VLLM_USE_FLASHINFER_MEO_FP16": "1", "VLLM_HOST_IP": "10.20.30.40"}
    assert probe_environment(environ, REDACTOR) == {
        "VLLM_HOST_IP": "<set>",
        "VLLM_USE_FLASHINFER_MEO_FP16": "1",
    }


def test_undecodable_bytes_become_text_that_can_be_written() -> None:
    found = probe_environment({"CUDA_HOME": "/opt/\udcff"}, REDACTOR)
    assert found["CUDA_HOME"].encode("utf-8") == b"/opt/?"


def test_every_row_has_its_own_name_and_a_known_kind() -> None:
    names = [variable.name for variable in VARIABLES]
    assert len(set(names)) == len(names)
    kinds = {"flag", "number", "choice", "path", "url", "devices", "text"}
    assert {variable.kind for variable in VARIABLES} == kinds
    assert find_variable("VLLM_ROCM_USE_AITER") is not None
    assert find_variable("PATH") is None
