// The energy mover's distance of pairs of events (arXiv:1902.02346), all cores, a pair on each.
//
// models/layers/transport.py says what the operator computes; a result depends on its pair alone,
// not on the number of threads. tests/models/layers/test_transport.py compares it with others.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <vector>

#include "transport.h"

namespace {

using at::Tensor;
using anomaly_hep::Transport;

// the particles of one event that are present
struct Event {
  std::vector<double> weight, x, y;
  double sum = 0;
  bool finite = true;

  void read(const double* weights, const double* points, int64_t slots) {
    weight.clear(), x.clear(), y.clear();
    sum = 0;
    for (int64_t k = 0; k < slots; k++) {
      if (weights[k] == 0) continue;
      weight.push_back(weights[k]);
      x.push_back(points[2 * k]);
      y.push_back(points[2 * k + 1]);
      sum += weights[k];
    }
    finite = std::isfinite(sum);
    for (size_t k = 0; k < x.size(); k++) finite &= std::isfinite(x[k]) && std::isfinite(y[k]);
  }
  int size() const { return static_cast<int>(weight.size()); }
};

// what the lighter event lacks comes from, or goes to, one more particle at no cost
double distance(const Event& a, const Event& b, double radius, Transport& transport) {
  if (!(a.finite && b.finite)) return std::numeric_limits<double>::quiet_NaN();
  int sources = a.size(), sinks = b.size();
  const double lack = a.sum - b.sum;
  double largest = 0;
  for (int s = 0; s < sources; s++) transport.supply(s) = a.weight[s];
  for (int t = 0; t < sinks; t++) {
    transport.demand(t) = b.weight[t];
    double* costs = transport.costs(t);
    for (int s = 0; s < sources; s++) {
      const double dx = a.x[s] - b.x[t], dy = a.y[s] - b.y[t];
      costs[s] = std::sqrt(dx * dx + dy * dy) / radius;
    }
    for (int s = 0; s < sources; s++) largest = std::max(largest, costs[s]);
    if (lack < 0) costs[sources] = 0;
  }
  if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
  if (lack < 0) transport.supply(sources++) = -lack;
  if (lack > 0) {
    std::fill_n(transport.costs(sinks), sources, 0.0);
    transport.demand(sinks++) = lack;
  }
  const double moved = transport.solve(sources, sinks);
  return moved == Transport::UNFINISHED ? moved : moved + std::abs(lack);
}

Tensor energy_movers_distance(const Tensor& weights, const Tensor& points,
                              const Tensor& other_weights, const Tensor& other_points,
                              double radius) {
  const Tensor w = weights.contiguous(), p = points.contiguous();
  const Tensor v = other_weights.contiguous(), q = other_points.contiguous();
  const int64_t events = w.size(0), first = w.size(1), second = v.size(1);
  TORCH_CHECK(v.size(0) == events && p.numel() == 2 * w.numel() && q.numel() == 2 * v.numel(),
              "weights and points of as many particles and events");
  Tensor result = at::empty({events}, w.options());
  const double *wd = w.const_data_ptr<double>(), *pd = p.const_data_ptr<double>();
  const double *vd = v.const_data_ptr<double>(), *qd = q.const_data_ptr<double>();
  double* distances = result.mutable_data_ptr<double>();
#pragma omp parallel
  {
    Transport transport(static_cast<int>(first) + 1, static_cast<int>(second) + 1);
    Event a, b;
#pragma omp for schedule(dynamic, 16)
    for (int64_t e = 0; e < events; e++) {
      a.read(wd + e * first, pd + 2 * e * first, first);
      b.read(vd + e * second, qd + 2 * e * second, second);
      distances[e] = distance(a, b, radius, transport);
    }
  }
  for (int64_t e = 0; e < events; e++)
    TORCH_CHECK(distances[e] != Transport::UNFINISHED, "no cheapest transport of event ", e);
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(anomaly_hep, m) {
  m.def("energy_movers_distance(Tensor weights, Tensor points, Tensor other_weights,"
        " Tensor other_points, float radius) -> Tensor");
}

TORCH_LIBRARY_IMPL(anomaly_hep, CPU, m) {
  m.impl("energy_movers_distance", energy_movers_distance);
}
