"""Evaluation: from scores to metrics with intervals, figures and a report."""
