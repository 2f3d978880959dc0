// The rows of a batch of events, and the layers that they go through.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tiles.h"

namespace anomaly_hep {

constexpr int64_t BLOCK = 64;  // rows that go through all layers together
constexpr int64_t TASKS = 32;  // most parts of a batch that threads share out

// Rows of events one after another, in tasks of whole blocks, which depend on the lengths alone.
class Rows {
 public:
  int64_t number = 0, tasks;

  Rows(const int64_t* lengths, int64_t events) : end_(events) {
    for (int64_t e = 0; e < events; e++) end_[e] = number += lengths[e];
    const int64_t blocks = rounded(number, BLOCK) / BLOCK;
    blocks_ = std::max<int64_t>(rounded(blocks, TASKS) / TASKS, 1);
    tasks = rounded(blocks, blocks_) / blocks_;
  }

  int64_t first(int64_t task) const { return std::min(task * blocks_ * BLOCK, number); }

  // the event of a row
  int64_t event(int64_t row) const {
    return std::upper_bound(end_.begin(), end_.end(), row) - end_.begin();
  }

  // whether an event begins before a row
  bool begins_before(int64_t event, int64_t row) const { return event && end_[event - 1] < row; }

  // call f(event, from, to) for each event's part of the rows `from` to `to`
  template <class F>
  void parts(int64_t from, int64_t to, const F& f) const {
    for (int64_t e = event(from); from < to; e++) {
      const int64_t until = std::min(to, end_[e]);
      if (until > from) f(e, from, until);
      from = until;
    }
  }

 private:
  std::vector<int64_t> end_;  // of each event
  int64_t blocks_;            // of a task
};

template <class Sum>
struct Layer {
  int64_t in, out;
  const Sum *weight, *bias;  // weight[out][in]

  int64_t width() const { return rounded(out, PADDING); }
  // numbers of the sums of its gradients: weight[rounded in][width], bias[width]
  int64_t gradients() const { return (rounded(in, ROWS) + 1) * width(); }
};

// a layer's weight as a product takes it: of rows of its input, or of gradients of its output
template <class A>
struct Packed {
  using Sum = typename A::Sum;
  int64_t steps, width;
  Buffer<typename A::Group> groups;
  Buffer<Sum> bias;

  Packed(const Layer<Sum>& layer, bool of_gradients) {
    const int64_t depth = of_gradients ? layer.out : layer.in;
    const int64_t columns = of_gradients ? layer.in : layer.out;
    steps = rounded(depth, A::PAIR) / A::PAIR;
    width = rounded(columns, PADDING);
    groups = Buffer<typename A::Group>(steps * width);
    bias = Buffer<Sum>(width);
    for (int64_t s = 0; s < steps; s++)
      for (int64_t c = 0; c < columns; c++) {
        Sum values[A::PAIR] = {};
        for (int64_t d = s * A::PAIR; d < std::min(depth, (s + 1) * A::PAIR); d++)
          values[d % A::PAIR] = layer.weight[of_gradients ? d * layer.in + c : c * layer.in + d];
        groups.data()[s * width + c] = A::group(values);
      }
    if (!of_gradients) std::copy_n(layer.bias, columns, bias.data());
  }
};

}  // namespace anomaly_hep
