"""Random jets in the JetClass layout: no physics, but every branch, in every dtype."""

from __future__ import annotations

import numpy as np

from anomaly_hep.types import Events

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")


def toy_jets(n: int, *, label: str = "QCD", seed: int = 0, mean_particles: float = 20.0) -> Events:
    """Return `n` jets whose momenta are the sums of their particles, of which there are >= 2."""
    rng = np.random.default_rng(seed)
    lengths = 2 + rng.poisson(mean_particles - 2, n).astype(np.int64)
    total, jet = int(lengths.sum()), np.repeat(np.arange(n), lengths)
    axis_eta, axis_phi = rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)
    pt = rng.exponential(1.0, total) + 0.01
    pt *= (rng.uniform(500, 1000, n) / np.bincount(jet, pt, n))[jet]
    eta, phi = axis_eta[jet] + rng.normal(0, 0.1, total), axis_phi[jet] + rng.normal(0, 0.1, total)
    # file order is descending pT within each jet
    order = np.lexsort((-pt, jet))
    pt, eta, phi = pt[order], eta[order], phi[order]
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = pt * np.cosh(eta)
    momenta = {"px": px, "py": py, "pz": pz, "energy": energy}
    sums = {k: np.bincount(jet, v, n) for k, v in momenta.items()}
    jet_pt = np.hypot(sums["px"], sums["py"])
    jet_eta, jet_phi = np.arcsinh(sums["pz"] / jet_pt), np.arctan2(sums["py"], sums["px"])
    kind = rng.choice(5, total, p=[0.5, 0.1, 0.3, 0.05, 0.05])
    charge = np.where(np.isin(kind, (0, 3, 4)), rng.choice([-1, 1], total), 0)
    f32 = np.float32
    particles = {
        "part_px": px.astype(f32),
        "part_py": py.astype(f32),
        "part_pz": pz.astype(f32),
        "part_energy": energy.astype(f32),
        "part_deta": ((eta - jet_eta[jet]) * np.where(jet_eta > 0, 1, -1)[jet]).astype(f32),
        "part_dphi": ((phi - jet_phi[jet] + np.pi) % (2 * np.pi) - np.pi).astype(f32),
        "part_d0val": rng.normal(0, 0.1, total).astype(f32),
        "part_d0err": rng.uniform(0.01, 0.1, total).astype(f32),
        "part_dzval": rng.normal(0, 0.1, total).astype(f32),
        "part_dzerr": rng.uniform(0.01, 0.1, total).astype(f32),
        "part_charge": charge.astype(f32),
    }
    names = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
    particles |= {f"part_is{name}": (kind == i).astype(np.int32) for i, name in enumerate(names)}
    tau = np.sort(rng.uniform(0.01, 0.3, (n, 4)), axis=1)[:, ::-1]
    events = {
        "jet_pt": jet_pt, "jet_eta": jet_eta, "jet_phi": jet_phi, "jet_energy": sums["energy"],
        "jet_nparticles": lengths, "jet_sdmass": rng.uniform(10, 200, n),
        **{f"jet_tau{i + 1}": tau[:, i] for i in range(4)},
        "aux_genpart_eta": jet_eta, "aux_genpart_phi": jet_phi, "aux_genpart_pid": np.ones(n),
        "aux_genpart_pt": jet_pt, "aux_truth_match": np.ones(n),
    }  # fmt: skip
    columns = {name: np.asarray(value).astype(f32) for name, value in events.items()}
    dtypes = dict.fromkeys(CLASSES, np.dtype(bool)) | {"QCD": np.dtype(f32)}
    dtypes |= dict.fromkeys(("Zqq", "Wqq", "Tbqq", "Tbl"), np.dtype(np.int32))
    columns |= {f"label_{c}": np.full(n, c == label, dtypes[c]) for c in CLASSES}
    return Events(lengths, particles, columns)


def toy_objects(
    n: int, *, seed: int = 0, processes: tuple[str, ...] = ("ttbar", "wjets"), harder: float = 1.0
) -> Events:
    """Return `n` events of 4 to 11 objects in the Dark Machines layout, of no physics."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 12, n)
    total, f32 = int(lengths.sum()), np.float32
    pt = (20 + rng.exponential(80 * harder, total)).astype(f32)
    eta = rng.normal(0, 1, total).clip(-2.5, 2.5).astype(f32)
    particles = {
        "obj_type": rng.choice(7, total, p=[0.6, 0.15, 0.05, 0.05, 0.05, 0.05, 0.05]) + 1,
        "obj_energy": (1.02 * pt * np.cosh(eta)).astype(f32),
        "obj_pt": pt,
        "obj_eta": eta,
        "obj_phi": rng.uniform(-3.1, 3.1, total).astype(f32),
    }
    events = {
        "event": np.arange(n),
        "process": rng.choice(processes, n),
        "weight": rng.choice([0.5, 1.0, 2.0], n),
        "met": (100 + rng.exponential(80 * harder, n)).astype(f32),
        "met_phi": rng.uniform(-3.1, 3.1, n).astype(f32),
    }
    return Events(lengths, particles, events)


def toy_collisions(n: int, *, seed: int = 0, signal: bool = False) -> Events:
    """Return `n` events of 3 to 40 massless particles in two jets, unsorted; signal has harder."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 41, n)
    total, f32 = int(lengths.sum()), np.float32
    event, side = np.repeat(np.arange(n), lengths), rng.integers(0, 2, total)
    axis = rng.uniform(-np.pi, np.pi, n)[event] + np.pi * side
    spread = 0.1 if signal else 0.3
    phi = (axis + rng.normal(0, spread, total) + np.pi) % (2 * np.pi) - np.pi
    particles = {
        "part_pt": (0.5 + rng.exponential(60.0 if signal else 40.0, total)).astype(f32),
        "part_eta": rng.normal(0, spread, total).astype(f32),
        "part_phi": phi.astype(f32),
    }
    return Events(lengths, particles, {"truth": np.full(n, int(signal))})


def toy_boosted(n: int, *, seed: int = 0, mean_particles: float = 15.0) -> Events:
    """Return `n` jets of 2 to 100 massless particles by pT, eta, phi, with those of their sums."""
    jets = toy_jets(n, seed=seed, mean_particles=mean_particles)
    kept = np.arange(len(jets.particles["part_px"])) - np.repeat(jets.offsets[:-1], jets.lengths)
    kept = kept < 100
    px, py, pz = (jets.particles[f"part_{axis}"][kept].astype(float) for axis in ("px", "py", "pz"))
    lengths = np.minimum(jets.lengths, 100)
    pt, jet = np.hypot(px, py), np.repeat(np.arange(n), lengths)
    energy = np.hypot(pt, pz)
    sum_x, sum_y, sum_z, total = (np.bincount(jet, v, n) for v in (px, py, pz, energy))
    jet_pt = np.hypot(sum_x, sum_y)
    mass = np.sqrt(np.maximum(total**2 - jet_pt**2 - sum_z**2, 0))
    particles = {
        "part_pt": pt,
        "part_eta": np.arcsinh(pz / pt),
        "part_phi": np.arctan2(py, px),
    }
    events = {
        "jet_pt": jet_pt,
        "jet_eta": np.arcsinh(sum_z / jet_pt),
        "jet_phi": np.arctan2(sum_y, sum_x),
        "jet_mass": mass,
    }
    return Events(
        lengths,
        {name: values.astype(np.float32) for name, values in particles.items()},
        {name: values.astype(np.float32) for name, values in events.items()},
    )
