"""Sizes outside the experts, as configs spell them."""

from __future__ import annotations

from moe_doctor.core.spec import AttentionSpec, RecurrentSpec
from moe_doctor.models.attention import read_attention


def test_heads_and_vocabulary_are_read() -> None:
    section = {"num_attention_heads": 48, "num_key_value_heads": 8, "vocab_size": 200064}
    assert read_attention(section) == AttentionSpec(48, 8, 200064)


def test_what_is_left_out_or_no_number_is_not_said() -> None:
    assert read_attention({"num_attention_heads": "many", "vocab_size": True}) == AttentionSpec()


def test_compressed_keys_are_seen() -> None:
    assert read_attention({"kv_lora_rank": 512}).latent


def test_mamba_and_linear_attention_layers_are_read() -> None:
    mamba = {"mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128}
    assert read_attention(mamba).recurrent == RecurrentSpec(64, 64, 8, 128, repeats_groups=True)
    delta = {
        "linear_num_value_heads": 64,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
    }
    assert read_attention(delta).recurrent == RecurrentSpec(64, 128, 16, 128)
    kimi = {"linear_attn_config": {"num_heads": 32, "head_dim": 128}}
    assert read_attention(kimi).recurrent == RecurrentSpec(32, 128, 32, 128)
