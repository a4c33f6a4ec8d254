"""The oracle for MXFP8 weights."""
