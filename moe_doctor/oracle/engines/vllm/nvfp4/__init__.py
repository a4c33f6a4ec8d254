"""The oracle for NVFP4 weights."""
