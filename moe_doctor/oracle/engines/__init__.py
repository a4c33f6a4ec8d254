"""One package per engine: its releases, its programs, its way from a model to a question."""
