"""One module per command: `run(settings)` does it; those without a configuration take words."""
