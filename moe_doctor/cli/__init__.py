"""The command line: options in, a report on stdout, an exit code; decisions are made elsewhere."""
