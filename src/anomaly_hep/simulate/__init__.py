"""Simulate files in the published formats; optional, since Pythia 8 and FastJet are GPL."""
