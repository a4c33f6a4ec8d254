"""What model it is: Hugging Face configs in, `ModelSpec` out. Key names stop in this room."""
