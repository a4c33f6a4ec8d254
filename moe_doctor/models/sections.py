"""Where in a config the language model is described: wrappers nest it under many names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError
from moe_doctor.core.record import record
from moe_doctor.models.fields import show

NESTED_KEYS = (
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "thinker_config",
    "text_model_config",
    "text_cfg",
)
"""Keys under which a wrapper keeps its language model, in the order they are tried."""

_DEEPEST = 4


@record
class Sections:
    """The chain from the whole config down to the language model's section."""

    chain: tuple[Mapping[str, Any], ...]
    """Outermost first, at least one."""

    @property
    def outer(self) -> Mapping[str, Any]:
        """The whole config."""
        return self.chain[0]

    @property
    def text(self) -> Mapping[str, Any]:
        """The language model's section; the whole config when nothing is nested."""
        return self.chain[-1]

    @property
    def model_types(self) -> tuple[str, ...]:
        """`model_type` of each section, innermost first."""
        return tuple(
            text for section in reversed(self.chain) if (text := _word(section, "model_type"))
        )

    @property
    def architectures(self) -> tuple[str, ...]:
        """First architecture of each section, innermost first."""
        return tuple(name for section in reversed(self.chain) if (name := _architecture(section)))

    @property
    def architecture(self) -> str:
        """First architecture of the whole config, or of the language model, or empty."""
        return self.architectures[-1] if self.architectures else ""

    @property
    def has_own_config(self) -> bool:
        """Whether the checkpoint brings the code of its config class (`auto_map`)."""
        code = self.outer.get("auto_map")
        return isinstance(code, Mapping) and "AutoConfig" in code

    def first(self, *names: str) -> Any:
        """First value of a key, outermost section first; None when absent or null."""
        for section in self.chain:
            for name in names:
                if section.get(name) is not None:
                    return section[name]
        return None


def find_sections(config: Mapping[str, Any]) -> Sections:
    """Walk down the nested configs of a wrapper."""
    chain = [config]
    while len(chain) <= _DEEPEST:
        nested = next(
            (chain[-1][key] for key in NESTED_KEYS if isinstance(chain[-1].get(key), Mapping)),
            None,
        )
        if not nested:
            break
        chain.append(nested)
    return Sections(tuple(chain))


def _word(section: Mapping[str, Any], key: str) -> str:
    value = section.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 200:
        raise ModelError(f"{key} is {show(value)}; expected a short string")
    return value


def _architecture(section: Mapping[str, Any]) -> str:
    value = section.get("architectures")
    if value is None or value == []:
        return ""
    if not isinstance(value, list) or not isinstance(value[0], str) or len(value[0]) > 200:
        raise ModelError(f"architectures is {show(value)}; expected a list of class names")
    return value[0]
