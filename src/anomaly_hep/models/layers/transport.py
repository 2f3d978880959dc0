def energy_movers_distance(w, x, v, y, r):
    return (
        w.sum(1).double() * 0
        + (w.sum(1) - v.sum(1)).abs()
        + ((w[..., None] * x).sum(1) - (v[..., None] * y).sum(1)).norm(dim=1)
    )
