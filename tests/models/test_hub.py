"""The hub through its real client, in a process of its own (it reads HF_* when imported)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.models.fake_hub import COMMIT, FakeHub, Repository, config_bytes

CHILD = """
import json, sys
from moe_doctor.core.errors import DoctorError
from moe_doctor.models.load import load_model
def bars_are_on():
    if "huggingface_hub.utils.tqdm" not in sys.modules:
        return None
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled
    return not are_progress_bars_disabled()
options = json.loads(sys.argv[2])
try:
    model = load_model(sys.argv[1], **options)
except DoctorError as error:
    print(json.dumps({"error": type(error).__name__, "exit_code": error.exit_code,
                      "message": error.message, "hint": error.hint}))
else:
    print(json.dumps({**model.to_dict(), "notes": [[n.kind, n.message] for n in model.notes],
                      "bars": bars_are_on()}))
"""
KNOWN = "mistralai/Mixtral-8x7B-v0.1"


def load(name: str, home: Path, endpoint: str = "", **options: Any) -> dict[str, Any]:
    environment = options.pop("environment", {})
    result = subprocess.run(
        [sys.executable, "-c", CHILD, name, json.dumps(options)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HF_HOME": str(home),
            **({"HF_ENDPOINT": endpoint} if endpoint else {}),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    answer["stderr"] = result.stderr
    return answer


def test_a_repository_of_mistrals_own_format_is_read_and_kept(tmp_path: Path) -> None:
    params = {"dim": 4096, "n_layers": 4, "n_heads": 32, "hidden_dim": 2048, "vocab_size": 32768}
    experts = {"num_experts": 128, "num_experts_per_tok": 4, "num_shared_experts": 1}
    experts |= {"expert_hidden_dim": 1024, "first_k_dense_replace": 1, "route_every_n": 1}
    content = json.dumps({**params, "moe": experts}).encode()
    with FakeHub({"org/large": Repository({"params.json": content})}) as hub:
        first = load("org/large", tmp_path, hub.url)
        asked = len(hub.requests)
        second = load("org/large", tmp_path, hub.url)
    assert (first["source"], first["architecture"]) == ("hub", "MistralLarge3ForCausalLM")
    assert [kind["num_experts"] for kind in first["moe_layers"]] == [128]
    assert (second["source"], second["moe_layers"]) == ("cache", first["moe_layers"])
    assert len(hub.requests) == asked, "the cache alone answers the second time"


def test_a_model_on_the_hub_is_found_and_then_answers_from_the_cache(tmp_path: Path) -> None:
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        first = load("org/small", tmp_path, hub.url)
        asked = len(hub.requests)
        second = load("org/small", tmp_path, hub.url)
    assert (first["source"], first["revision"]) == ("hub", COMMIT)
    assert first["moe_layers"][0]["num_experts"] == 16
    assert (second["source"], second["revision"]) == ("cache", COMMIT)
    assert len(hub.requests) == asked, "the cache alone answers the second time"


def test_only_config_files_are_asked_for(tmp_path: Path) -> None:
    files = {"config.json": config_bytes(), "model.safetensors": b"weights"}
    with FakeHub({"org/small": Repository(files)}) as hub:
        load("org/small", tmp_path, hub.url)
    assert {path.rpartition("/")[2] for _, path, _ in hub.requests if "resolve" in path} == {
        "config.json",
        "hf_quant_config.json",
    }


def test_hf_quant_config_is_fetched_and_read(tmp_path: Path) -> None:
    quant = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    files = {"config.json": config_bytes(), "hf_quant_config.json": json.dumps(quant).encode()}
    with FakeHub({"org/small": Repository(files)}) as hub:
        answer = load("org/small", tmp_path, hub.url)
    found = answer["moe_layers"][0]["quantization"]
    assert (found["method"], found["algorithm"]) == ("modelopt", "NVFP4")
    assert found["source"] == "hf_quant_config.json"


def test_the_revision_is_passed_on(tmp_path: Path) -> None:
    repository = Repository({"config.json": config_bytes()}, revisions=("v2", COMMIT))
    with FakeHub({"org/small": repository}) as hub:
        found = load("org/small", tmp_path, hub.url, revision="v2")
        missing = load("org/small", tmp_path, hub.url, revision="v3")
    assert found["source"] == "hub"
    assert any("/resolve/v2/config.json" in path for _, path, _ in hub.requests)
    assert (missing["error"], missing["exit_code"]) == ("HubRevisionError", 2)


def test_an_unknown_repository_is_usage_and_names_the_nearest(tmp_path: Path) -> None:
    with FakeHub({}) as hub:
        answer = load("mistralai/Mixtral-8x7B-v0.2", tmp_path, hub.url)
    assert (answer["error"], answer["exit_code"]) == ("ModelNotFoundError", 2)
    assert "mistralai/Mixtral-8x7B-v0.1" in answer["hint"]


def test_a_repository_without_config_is_usage(tmp_path: Path) -> None:
    with FakeHub({"org/data": Repository({"README.md": b"hello"})}) as hub:
        answer = load("org/data", tmp_path, hub.url)
    assert (answer["error"], answer["exit_code"]) == ("ModelNotFoundError", 2)
    assert "has no config.json" in answer["message"]


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (403, "")])
def test_a_gated_repository_says_how_to_get_in(tmp_path: Path, status: int, code: str) -> None:
    with FakeHub({"org/gated": Repository(status=status, error_code=code)}) as hub:
        answer = load("org/gated", tmp_path, hub.url)
    assert (answer["error"], answer["exit_code"]) == ("ModelNotFoundError", 2)
    assert "HF_TOKEN" in answer["hint"]
    assert "licence" in answer["hint"]


def test_a_huge_config_is_not_downloaded(tmp_path: Path) -> None:
    with FakeHub({"org/huge": Repository({"config.json": b" " * ((16 << 20) + 1)})}) as hub:
        answer = load("org/huge", tmp_path, hub.url)
    assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)
    assert "larger than 16 MiB" in answer["message"]
    assert not any(method == "GET" and "resolve" in path for method, path, _ in hub.requests)


def test_the_token_opens_a_gated_repository_and_is_never_printed(tmp_path: Path) -> None:
    secret = "hf_SECRETsecretSECRET"
    gated = Repository({"config.json": config_bytes()}, token=secret)
    with FakeHub({"org/gated": gated, "org/broken": Repository(status=500)}) as hub:
        opened = load("org/gated", tmp_path, hub.url, environment={"HF_TOKEN": secret})
        failed = load("org/broken", tmp_path, hub.url, environment={"HF_TOKEN": secret})
    assert opened["source"] == "hub"
    assert any(token == f"Bearer {secret}" for _, _, token in hub.requests)
    assert secret not in json.dumps(opened)
    assert secret not in json.dumps(failed)


@pytest.mark.parametrize(("status", "word"), [(429, "429"), (500, "500"), (503, "503")])
def test_a_failing_hub_is_inconclusive(tmp_path: Path, status: int, word: str) -> None:
    with FakeHub({"org/small": Repository(status=status)}) as hub:
        answer = load("org/small", tmp_path, hub.url, timeout_s=6)
    assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)
    assert word in answer["message"]


def test_a_slow_hub_ends_at_the_deadline(tmp_path: Path) -> None:
    with FakeHub({"org/slow": Repository({"config.json": config_bytes()}, delay_s=30)}) as hub:
        started = time.monotonic()
        answer = load("org/slow", tmp_path, hub.url, timeout_s=2)
    assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)
    assert "did not answer" in answer["message"] or "Timeout" in answer["message"]
    assert time.monotonic() - started < 12


def test_a_redirect_loop_is_inconclusive(tmp_path: Path) -> None:
    with FakeHub({"org/loop": Repository(redirect_loop=True)}) as hub:
        answer = load("org/loop", tmp_path, hub.url, timeout_s=5)
    assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)


def test_a_cut_connection_is_inconclusive(tmp_path: Path) -> None:
    cut = Repository({"config.json": config_bytes()}, cut_body=True)
    with FakeHub({"org/cut": cut}) as hub:
        answer = load("org/cut", tmp_path, hub.url, timeout_s=4)
    assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)


def test_truncated_json_is_inconclusive_and_does_not_stay_in_the_way(tmp_path: Path) -> None:
    repository = Repository({"config.json": config_bytes()[:100]})
    with FakeHub({"org/small": repository}) as hub:
        broken = load("org/small", tmp_path, hub.url)
        repository.files["config.json"] = config_bytes()
        repository.commit = COMMIT[::-1]
        mended = load("org/small", tmp_path, hub.url)
    assert (broken["error"], broken["exit_code"]) == ("FetchError", 3)
    assert "is not JSON" in broken["message"]
    assert mended.get("source") == "hub", mended


def test_offline_without_a_cache_is_inconclusive_and_asks_nobody(tmp_path: Path) -> None:
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        option = load("org/small", tmp_path, hub.url, offline=True)
        variable = load("org/small", tmp_path, hub.url, environment={"HF_HUB_OFFLINE": "1"})
    for answer in (option, variable):
        assert (answer["error"], answer["exit_code"]) == ("FetchError", 3)
    assert hub.requests == []


def test_offline_and_after_the_hub_went_down_the_cache_answers(tmp_path: Path) -> None:
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        load("org/small", tmp_path, hub.url)
    down = load("org/small", tmp_path, hub.url)
    offline = load("org/small", tmp_path, hub.url, environment={"HF_HUB_OFFLINE": "1"})
    assert (down["source"], offline["source"]) == ("cache", "cache")


def test_a_cache_that_cannot_be_written_does_not_cost_the_answer(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a directory")
    (tmp_path / "tmp").mkdir()
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        environment = {"HF_HUB_CACHE": str(blocker / "cache"), "TMPDIR": str(tmp_path / "tmp")}
        answer = load("org/small", tmp_path, hub.url, environment=environment)
    assert (answer.get("source"), answer.get("revision")) == ("hub", COMMIT), answer
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(("disabled", "bars"), [("", True), ("1", False)])
def test_progress_bars_are_left_as_they_were(tmp_path: Path, disabled: str, bars: bool) -> None:
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        environment = {"HF_HUB_DISABLE_PROGRESS_BARS": disabled} if disabled else {}
        answer = load("org/small", tmp_path, hub.url, environment=environment)
    assert (answer["source"], answer["bars"]) == ("hub", bars)
    assert "%|" not in answer["stderr"]


def test_no_home_still_answers(tmp_path: Path) -> None:
    with FakeHub({"org/small": Repository({"config.json": config_bytes()})}) as hub:
        environment = {"HF_HOME": "", "HF_HUB_CACHE": str(tmp_path / "c"), "HOME": "/nonexistent"}
        answer = load("org/small", tmp_path, hub.url, environment=environment)
    assert answer.get("source") == "hub", answer


def test_credentials_in_the_endpoint_are_not_printed(tmp_path: Path) -> None:
    answer = load("org/small", tmp_path, "http://user:hunter2@127.0.0.1:9", timeout_s=5)
    assert answer["error"] == "FetchError"
    assert "hunter2" not in json.dumps(answer)


def test_a_network_that_accepts_and_never_answers_leaves_the_catalogue_in_time(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        started = time.monotonic()
        answer = load(KNOWN, tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        elapsed = time.monotonic() - started
    assert answer["source"] == "catalogue"
    assert answer["notes"][-1][0] == "hub-unreachable"
    assert elapsed < 5, f"took {elapsed:.1f} s"


def test_a_network_that_swallows_packets_leaves_the_catalogue_in_time(tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):  # a full backlog drops connection attempts without an answer
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        started = time.monotonic()
        answer = load(KNOWN, tmp_path, f"http://127.0.0.1:{full.getsockname()[1]}")
        elapsed = time.monotonic() - started
        for filler in fillers:
            filler.close()
    assert answer["source"] == "catalogue"
    assert answer["notes"][-1][0] == "hub-unreachable"
    assert elapsed < 5, f"took {elapsed:.1f} s"


def test_overrides_and_revisions_that_the_catalogue_cannot_honour_are_said(tmp_path: Path) -> None:
    answer = load(
        KNOWN, tmp_path, offline=True, revision="v9", hf_overrides={"num_local_experts": 4}
    )
    kinds = [kind for kind, _ in answer["notes"]]
    assert kinds[-3:] == ["offline", "revision-not-checked", "ignored-overrides"]
