"""Scores fitted after the training, on training background alone: the classes to choose from.

Each uses an embedding, of the model's `outputs` or of the reading's `summary`, or combines other
scores, or frees one from a mass. Fitted parameters are stored as arrays, so that nothing is ever
unpickled.
"""

from __future__ import annotations

from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.decorrelated import MassQuantile
from anomaly_hep.models.fits.distances import Mahalanobis, NearestNeighbours, OneClassSVM
from anomaly_hep.models.fits.flow import Flow
from anomaly_hep.models.fits.forest import IsolationForest
from anomaly_hep.models.fits.massflow import MassFlow
from anomaly_hep.models.fits.rank import Rank
from anomaly_hep.models.fits.svdd import SVDD
from anomaly_hep.models.fits.tails import ECOD

__all__ = [
    "ECOD",
    "SVDD",
    "FittedScore",
    "Flow",
    "IsolationForest",
    "Mahalanobis",
    "MassFlow",
    "MassQuantile",
    "NearestNeighbours",
    "OneClassSVM",
    "Rank",
]
