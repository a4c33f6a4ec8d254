"""The comparison of two releases, on small wheels made here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.releases import RELEASES
from tests.releases.change import Change
from tests.releases.compare import compare, main
from tests.releases.generate import _table as generated_table
from tests.releases.generate import registered_text, tuned_text
from tests.releases.sources import SourcesError, open_sources
from tests.releases.tree import Tree

_FUSED = "vllm/model_executor/layers/fused_moe/"
_METADATA = """Metadata-Version: 2.4
Name: vllm
Version: {version}
Requires-Dist: torch==2.14.0
Requires-Dist: flashinfer-python==0.7.2
Requires-Dist: compressed-tensors==0.17.0
Requires-Dist: nvidia-cutlass-dsl==4.8.0; platform_system == "Linux"
Requires-Dist: ray; extra == "ray"
"""
_BASE = '''
class FusedMoEExperts:
    """The base of every kernel."""

    def is_supported_config(cls, moe_config):
        return cls._supports_current_device() and cls._supports_size(moe_config)

    def _supports_current_device(cls):
        raise NotImplementedError

    def _supports_size(cls, moe_config):
        return moe_config.hidden_dim % 128 == 0
'''
_TRITON = """
from vllm.model_executor.layers.fused_moe.modular_kernel import FusedMoEExperts
from vllm.model_executor.layers.fused_moe.utils import is_new_enough


class TritonExperts(FusedMoEExperts):
    def _supports_current_device(cls):
        return is_new_enough()
"""
_ORACLE = """
import enum


class Fp8MoeBackend(enum.Enum):
    TRITON = "TRITON"


def map_fp8_backend(name):
    mapping = {"triton": Fp8MoeBackend.TRITON}
    return mapping[name]
"""
_ENVS = """
environment_variables = {
    "VLLM_USE_DEEP_GEMM": lambda: bool(int(os.getenv("VLLM_USE_DEEP_GEMM", "1"))),
}
"""
_KERNEL_CONFIG = 'MoEBackend = Literal["auto", "triton"]\n'
_REGISTRY = """
_TEXT_GENERATION_MODELS = {"MixtralForCausalLM": ("mixtral", "MixtralForCausalLM")}
_TRANSFORMERS_SUPPORTED_MODELS = {}
_PREVIOUSLY_SUPPORTED_MODELS = {"Phi3SmallForCausalLM": "0.9.2"}
"""
FILES = {
    "vllm/__init__.py": "",
    "vllm/envs.py": _ENVS,
    "vllm/config/kernel.py": _KERNEL_CONFIG,
    "vllm/model_executor/models/registry.py": _REGISTRY,
    f"{_FUSED}modular_kernel.py": _BASE,
    f"{_FUSED}utils.py": "def is_new_enough():\n    return True\n",
    f"{_FUSED}experts/triton_moe.py": _TRITON,
    f"{_FUSED}oracle/fp8.py": _ORACLE,
    f"{_FUSED}configs/E=8,N=512,device_name=NVIDIA_H200.json": "{}",
}


def make_wheel(folder: Path, version: str, files: dict[str, str] | None = None) -> Path:
    wheel = folder / f"vllm-{version}-cp38-abi3-manylinux_2_31_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in (files or FILES).items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 11, 20, 8, 0, 0)), text)
        metadata = _METADATA.format(version=version)
        archive.writestr(f"vllm-{version}.dist-info/METADATA", metadata)
    return wheel


def changes(folder: Path, **new: str) -> list[Change]:
    """What is found where the files named by their last part are other ones in the new wheel."""
    files = dict(FILES)
    for key, text in new.items():
        path = next((one for one in files if one.endswith(f"/{key}.py")), None)
        files[path or f"{_FUSED}experts/{key}.py"] = text
    old = open_sources(str(make_wheel(folder, "0.33.0")))
    return compare(Tree(old), Tree(open_sources(str(make_wheel(folder, "0.34.0", files)))))


def find(found: list[Change], name: str) -> Change:
    return next(one for one in found if one.name == name)


def test_two_equal_releases_differ_in_nothing_and_exit_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = make_wheel(tmp_path, "0.33.0"), make_wheel(tmp_path, "0.34.0")
    assert main([str(old), str(new)]) == 0
    assert "0.33.0 -> 0.34.0: 0 changes" in capsys.readouterr().out


def test_a_new_class_that_an_oracle_names_stands_first(tmp_path: Path) -> None:
    oracle = _ORACLE + "\n\ndef backend_to_kernel_cls(backend):\n    return [NovaExperts]\n"
    nova = _TRITON.replace("TritonExperts", "NovaExperts")
    found = changes(tmp_path, fp8=oracle, nova_moe=nova)
    assert (found[0].kind, found[0].name) == ("unstated", "NovaExperts")
    assert found[0].details == (f"named in {_FUSED}oracle/fp8.py",)
    assert find(found[1:], "NovaExperts").kind == "appeared"


def test_a_predicate_that_a_class_inherits_is_named_with_the_class(tmp_path: Path) -> None:
    found = changes(tmp_path, modular_kernel=_BASE.replace("% 128", "% 256"))
    predicate = find(found, "TritonExperts._supports_size")
    assert predicate.details == ("inherited: FusedMoEExperts._supports_size changed",)
    assert predicate.edit == ("moe_doctor/backends/triton.py",)
    assert "+    return moe_config.hidden_dim % 256 == 0" in predicate.diff


def test_a_function_that_a_predicate_calls_is_named_with_the_class(tmp_path: Path) -> None:
    found = changes(tmp_path, utils="def is_new_enough():\n    return False\n")
    predicate = find(found, "TritonExperts._supports_current_device")
    assert predicate.details == ("through is_new_enough: changed",)


def test_a_base_that_is_called_by_its_name_is_followed(tmp_path: Path) -> None:
    called = _TRITON.replace("import FusedMoEExperts", "import FusedMoEExperts as Base").replace(
        "(FusedMoEExperts)", "(Base)"
    )
    called += "\n    def is_supported_config(cls, config):\n"
    called += "        return Base.is_supported_config(cls, config)\n"
    files = FILES | {f"{_FUSED}experts/triton_moe.py": called}
    changed = files | {f"{_FUSED}modular_kernel.py": _BASE.replace(" and cls._s", " or cls._s")}
    old = Tree(open_sources(str(make_wheel(tmp_path, "0.33.0", files))))
    found = compare(old, Tree(open_sources(str(make_wheel(tmp_path, "0.34.0", changed)))))
    predicate = find(found, "TritonExperts.is_supported_config")
    assert predicate.details == ("through FusedMoEExperts.is_supported_config: changed",)


def test_docstrings_comments_and_logging_are_no_change(tmp_path: Path) -> None:
    talk = _BASE.replace("The base of every kernel.", "Other words.")
    spoken = "def is_new_enough():\n    logger.info('asked')\n    # why not\n    return True\n"
    assert changes(tmp_path, modular_kernel=talk, utils=spoken) == []


def test_members_and_names_of_an_oracle_are_listed(tmp_path: Path) -> None:
    oracle = _ORACLE.replace(
        '    TRITON = "TRITON"\n', '    TRITON = "TRITON"\n    NOVA = "NOVA"\n'
    ).replace('"triton": Fp8', '"nova": Fp8MoeBackend.NOVA, "triton": Fp8')
    found = changes(tmp_path, fp8=oracle)
    assert find(found, "Fp8MoeBackend").details == ("+ NOVA = 'NOVA'",)
    mapping = find(found, "map_fp8_backend")
    assert mapping.details == ("+ 'nova': Fp8MoeBackend.NOVA",)
    assert mapping.edit[0] == "moe_doctor/oracle/engines/vllm/fp8/tables.py"


def test_a_variable_an_option_and_an_architecture_are_listed(tmp_path: Path) -> None:
    found = changes(
        tmp_path,
        envs=_ENVS.replace('"1"', '"0"').replace("}", '    "VLLM_MOE_NOVA": lambda: 1,\n}'),
        kernel='MoEBackend = Literal["auto", "nova"]\n',
        registry=_REGISTRY.replace("Mixtral", "Nova"),
    )
    assert find(found, "VLLM_MOE_NOVA").kind == "appeared"
    assert find(found, "VLLM_USE_DEEP_GEMM").kind == "changed"
    assert find(found, "MoEBackend").details == ("- triton", "+ nova")
    option = find(found, "MoEBackend")
    assert option.edit == ("moe_doctor/oracle/engines/vllm/layer_options.py",)
    assert find(found, "_TEXT_GENERATION_MODELS: NovaForCausalLM").kind == "appeared"


def test_json_has_every_change_and_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = FILES | {"vllm/config/kernel.py": 'MoEBackend = Literal["auto"]\n'}
    old, new = make_wheel(tmp_path, "0.33.0"), make_wheel(tmp_path, "0.34.0", files)
    assert main([str(old), str(new), "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["from"], told["to"]) == (
        "moe-doctor.releases/1",
        "0.33.0",
        "0.34.0",
    )
    assert [one["name"] for one in told["changes"]] == ["MoEBackend"]


def test_the_row_of_a_release_has_its_day_and_its_pins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = str(make_wheel(tmp_path, "0.34.0"))
    assert main([wheel, wheel, "--row"]) == 0
    assert capsys.readouterr().out == (
        '    _r("0.34.0", "2026-11-20", "2.14.0", "0.7.2", "0.17.0", "4.8.0"),\n'
    )


def test_generated_tables_end_what_vanished_and_begin_what_appeared(tmp_path: Path) -> None:
    tree = Tree(open_sources(str(make_wheel(tmp_path, "99.0.0"))))
    newest = RELEASES[-1].version
    lines = tuned_text(tree).splitlines()
    assert "E=8,N=512,device_name=NVIDIA_H200 99.0.0-" in lines
    assert f"E=1,N=14336,device_name=NVIDIA_A100-SXM4-80GB -{newest}" in lines
    native = registered_text(tree).partition('"""\n\n')[0]
    ended = native.partition(f"\n- {newest}\n")[2].partition("\n- -\n")[0]
    assert "Qwen3MoeForCausalLM" in ended
    assert "MixtralForCausalLM" not in ended


@pytest.mark.parametrize("table", ["_NATIVE", "_SUPPORTED_BY_TRANSFORMERS", "_UNTIL"])
def test_the_tables_of_the_registry_are_as_they_are_generated(table: str) -> None:
    text = str(getattr(registered, table))
    spans = {name: list(held) for name, held in registered._parsed(text).items()}
    assert generated_table(table, spans) == f'{table} = """{text}"""\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a zip archive", "cannot be read as a wheel"),
        (b"PK\x05\x06" + b"\0" * 18, "is no vLLM wheel"),
    ],
)
def test_a_broken_wheel_is_a_sentence_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    broken = tmp_path / "vllm-0.34.0-cp38-abi3-linux_x86_64.whl"
    broken.write_bytes(content)
    assert main([str(broken), str(broken)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_python_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match=r"oracle/fp8\.py is no Python"):
        changes(tmp_path, fp8="def :\n")


def test_a_release_without_a_cache_and_a_name_that_is_nothing_are_refused() -> None:
    with pytest.raises(SourcesError, match="--cache"):
        open_sources("0.34.0")
    with pytest.raises(SourcesError, match="no wheel, no folder and no release"):
        open_sources("nonsense")
