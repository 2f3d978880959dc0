"""What each paper measures, prints and draws: one module and one table of published rows each."""
