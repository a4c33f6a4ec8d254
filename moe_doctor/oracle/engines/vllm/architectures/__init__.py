"""What each vLLM model class tells its FusedMoE layer: data, one row per class and change."""
