"""Scores to numbers with intervals, figures and a report."""
