"""Anomaly detection in high-energy physics: from simulated collisions to scores with intervals."""

__version__ = "0.1.0"
