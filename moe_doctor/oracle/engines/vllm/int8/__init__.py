"""8-bit integer weights and inputs."""
