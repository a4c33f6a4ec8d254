from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_doctor.probes.redact import Redactor, is_secret_name

REDACTOR = Redactor(home="/data/people/bob", user="bob", host="gpu-node-17")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://bob:s3cret@hub.example/x", "https://***@hub.example/x"),
        ("https://p@ss@hub.example", "https://***@hub.example"),
        ("https://hub.example/x?token=abc&a=1", "https://hub.example/x?token=***&a=1"),
        ("hf_abcdefghijklmnopqrstuv", "<token>"),
        ("/data/people/bob/cuda", "~/cuda"),
        ("/data/people/bob", "~"),
        ("/data/people/bobby/cuda", "/data/people/bobby/cuda"),
        ("/home/alice/cuda:/Users/carol/x", "~/cuda:~/x"),
        ("/root/.cache/hf", "~/.cache/hf"),
        ("/scratch/bob/cache", "/scratch/<user>/cache"),
        ("http://gpu-node-17:8080/hub", "http://<host>:8080/hub"),
        ("GPU-11111111-2222-3333-4444-555555555555,1", "GPU-<uuid>,1"),
        ("GPU-1111aaaa", "GPU-<uuid>"),
        ("MIG-11111111-2222-3333-4444-555555555555", "MIG-<uuid>"),
        ("MIG-GPU-11111111-2222-3333-4444-555555555555/1/0", "GPU-<uuid>"),
        ("a\x1b[31mb\udcffc", "a [31mb?c"),
        ("throughput", "throughput"),
        ("/usr/local/cuda-13.0", "/usr/local/cuda-13.0"),
        ("0,1,2", "0,1,2"),
        ("9.0a 10.0f", "9.0a 10.0f"),
    ],
)
def test_what_may_be_shared(text: str, redacted: str) -> None:
    assert REDACTOR.text(text) == redacted


_PIECES = st.sampled_from(
    ("/data/people/bob", "/home/", "/root", "bob", "://", "@", ":", "/", "?token=", "hf_", "sk-")
) | st.sampled_from(
    ("GPU-", "MIG-", "1111", "-", "abcdefghijklmnop", "gpu-node-17", "~", "&", " ", "\n", "\udc80")
)


@given(st.lists(_PIECES | st.text(max_size=4), max_size=14).map("".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@given(st.text(max_size=40), st.text(max_size=12), st.text(max_size=40))
def test_a_token_never_survives(before: str, home: str, after: str) -> None:
    secret = "hf_QwErTyUiOpAsDfGhJkLz"
    assert secret not in Redactor(home=home).text(f"{before}{secret}{after}")


@pytest.mark.parametrize("home", ["", "/", "//", "relative"])
def test_a_useless_home_cuts_nothing(home: str) -> None:
    assert Redactor(home=home, user="root", host="").text("/usr/bin/c++") == "/usr/bin/c++"


def test_names_of_secrets() -> None:
    assert is_secret_name("HF_TOKEN")
    assert is_secret_name("VLLM_API_KEY")
    assert not is_secret_name("VLLM_ROCM_USE_AITER")
