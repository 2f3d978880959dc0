"""One module per command: `run(settings)`, or `run(arguments)` without a configuration."""
