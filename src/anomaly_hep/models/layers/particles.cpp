// The sum over the particles of each event of a network that is applied to every particle.
//
// Particles go through all layers in blocks that stay in the cache, forward and backward; layer by
// layer, as in torch, memory limits the speed. Every sum has an order that depends on the lengths of
// the events alone, not on the number of threads. models/layers/particles.py says what the operators
// compute; tests/models/layers/test_particles.py compares them with plain torch.

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <vector>

#include "network.h"

namespace {

using at::Tensor;
using namespace anomaly_hep;

bool bfloat16_products() {
#ifdef __AVX512BF16__
  return true;
#else
  return false;
#endif
}

// call f(Network<A>) in the arithmetic of a type, or of bfloat16
template <class F>
void with_network(const Tensor& x, const std::vector<Tensor>& weights,
                  const std::vector<Tensor>& biases, bool brief, const F& f) {
  TORCH_CHECK(!weights.empty() && weights.size() == biases.size(), "as many biases as weights");
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "particle_sum", [&] {
    std::vector<Layer<scalar_t>> layers;
    for (size_t l = 0; l < weights.size(); l++)
      layers.push_back({weights[l].size(1), weights[l].size(0),
                        weights[l].const_data_ptr<scalar_t>(),
                        biases[l].const_data_ptr<scalar_t>()});
#ifdef __AVX512BF16__
    if constexpr (std::is_same_v<scalar_t, float>)
      if (brief) return f(Network<Brief>(std::move(layers)), scalar_t());
#endif
    f(Network<Exact<scalar_t>>(std::move(layers)), scalar_t());
  });
}

std::vector<Tensor> contiguous(at::TensorList tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.contiguous());
  return result;
}

Rows rows_of(const Tensor& lengths, const Tensor& x) {
  const Tensor all = lengths.contiguous();
  const int64_t* values = all.const_data_ptr<int64_t>();
  for (int64_t e = 0; e < all.numel(); e++)
    TORCH_CHECK(values[e] >= 0, "an event has ", values[e], " particles");
  Rows rows(values, all.numel());
  TORCH_CHECK(rows.number == x.size(0), "events of ", rows.number, " particles, not ", x.size(0));
  return rows;
}

std::tuple<Tensor, Tensor> particle_sum(const Tensor& features, const Tensor& lengths,
                                        at::TensorList weights, at::TensorList biases, bool brief,
                                        bool keep) {
  const Tensor x = features.contiguous();
  const auto w = contiguous(weights), b = contiguous(biases);
  const Rows rows = rows_of(lengths, x);
  Tensor y, kept;
  with_network(x, w, b, brief, [&](const auto& network, auto zero) {
    using Sum = decltype(zero);
    y = at::zeros({lengths.size(0), w.back().size(0)}, x.options());
    kept = at::empty({keep ? rounded(rows.number, BLOCK) : 0, network.bytes},
                     x.options().dtype(at::kByte));
    network.forward(rows, x.const_data_ptr<Sum>(),
                    keep ? static_cast<char*>(kept.mutable_data_ptr()) : nullptr,
                    y.mutable_data_ptr<Sum>());
  });
  return {y, kept};
}

std::vector<Tensor> particle_sum_backward(const Tensor& gradient, const Tensor& features,
                                          const Tensor& lengths, at::TensorList weights,
                                          at::TensorList biases, const Tensor& kept, bool brief) {
  const Tensor x = features.contiguous(), grad = gradient.contiguous();
  const auto w = contiguous(weights), b = contiguous(biases);
  const Rows rows = rows_of(lengths, x);
  std::vector<Tensor> by_weight, by_bias;
  with_network(x, w, b, brief, [&](const auto& network, auto zero) {
    using Sum = decltype(zero);
    Buffer<Sum> sums(network.gradients);
    network.backward(rows, x.const_data_ptr<Sum>(),
                     static_cast<const char*>(kept.const_data_ptr()), grad.const_data_ptr<Sum>(),
                     sums.data());
    for (size_t l = 0; l < w.size(); l++) {
      by_weight.push_back(at::empty_like(w[l]));
      by_bias.push_back(at::empty_like(b[l]));
      network.gradient(l, sums.data(), by_weight[l].mutable_data_ptr<Sum>(),
                       by_bias[l].mutable_data_ptr<Sum>());
    }
  });
  by_weight.insert(by_weight.end(), by_bias.begin(), by_bias.end());
  return by_weight;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(anomaly_hep, m) {
  m.def("bfloat16_products() -> bool", bfloat16_products);
  m.def("particle_sum(Tensor x, Tensor lengths, Tensor[] weights, Tensor[] biases, bool brief,"
        " bool keep) -> (Tensor, Tensor)");
  m.def("particle_sum_backward(Tensor grad, Tensor x, Tensor lengths, Tensor[] weights,"
        " Tensor[] biases, Tensor kept, bool brief) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(anomaly_hep, CPU, m) {
  m.impl("particle_sum", particle_sum);
  m.impl("particle_sum_backward", particle_sum_backward);
}
