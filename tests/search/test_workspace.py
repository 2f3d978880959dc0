from __future__ import annotations

import numpy as np
import pyhf
import pytest

from anomaly_hep.search.likelihood import fit_smooth
from anomaly_hep.search.scan import gaussian_templates, scan, toys
from anomaly_hep.search.significance import local_p, standard_deviations
from anomaly_hep.search.workspace import pyhf_p, workspace
from tests.search.test_likelihood import EDGES, shape, smooth_counts


@pytest.mark.parametrize(("events", "signal"), [(400, 20), (20000, 100), (20000, 400)])
def test_pyhf_finds_the_same_local_p_value(events: int, signal: int) -> None:
    template = gaussian_templates(np.array([3500.0]), 0.05, EDGES)
    counts = toys(smooth_counts(events) + signal * template[0], 1, [1])
    alone = fit_smooth(counts, shape())
    found = scan(counts, shape(), alone.parameters[0], template)
    best = found.signal[0, 0] * template[0]
    content = workspace(counts[0], alone.expected[0], best, shape())
    ours, theirs = (
        float(standard_deviations(p)) for p in (local_p(found.q0[0, 0]), pyhf_p(content))
    )
    assert ours > 1
    assert theirs == pytest.approx(ours, abs=0.01)


def test_the_workspace_holds_the_fit_and_the_observed_counts() -> None:
    counts = toys(smooth_counts(5000), 1, [2])
    alone = fit_smooth(counts, shape())
    signal = gaussian_templates(np.array([3500.0]), 0.05, EDGES)[0]
    space = pyhf.Workspace(workspace(counts[0], alone.expected[0], signal, shape()))
    model = space.model()
    begin = np.array(model.config.suggested_init())
    begin[model.config.poi_index] = 0
    expected = model.expected_data(begin, include_auxdata=False)
    assert np.asarray(expected) == pytest.approx(alone.expected[0], rel=1e-9)
    assert space.data(model, include_auxdata=False) == counts[0].tolist()
    begin[model.config.poi_index] = 7
    expected = model.expected_data(begin, include_auxdata=False)
    assert np.asarray(expected) == pytest.approx(alone.expected[0] + 7 * signal, rel=1e-9)
