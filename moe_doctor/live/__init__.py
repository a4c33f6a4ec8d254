"""The installed engine itself, asked in a child process: request, runner, translation."""
