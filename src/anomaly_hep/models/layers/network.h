// A network of linear layers with ReLU for each row, summed over the rows of each event.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "rows.h"
#include "tiles.h"

namespace anomaly_hep {

// The first layer multiplies in the numbers' own type, since bfloat16 has too few digits for
// angles, the others in the arithmetic A. For the gradient, `kept` has what the layers between
// the first and the last give (along), and in a byte whether each of the last is not 0; what the
// first gives is quicker computed again than read. A block's place in it is that of its first row.
template <class A>
class Network {
  using Sum = typename A::Sum;
  using Group = typename A::Group;
  using Vector = typename A::Vector;
  using First = Exact<Sum>;

 public:
  int64_t gradients = 0;  // numbers of the sums of all gradients
  int64_t bytes = 0;      // that are kept of each row

  explicit Network(std::vector<Layer<Sum>> layers) : layers_(std::move(layers)) {
    for (const auto& layer : layers_) {
      kept_.push_back(bytes);
      if (&layer != &layers_.front()) bytes += layer.width() * sizeof(Group) / A::PAIR;
      sums_.push_back(gradients);
      gradients += layer.gradients();
      widest_ = std::max({widest_, layer.width(), rounded(layer.in, PADDING)});
    }
    first_ = rounded(layers_[0].in, ROWS);
    last_ = layers_.size() - 1;
    width_ = layers_[last_].width();
    bytes = kept_[last_] + width_;
  }

  // y[event][out] += the sums; `kept` may be null
  void forward(const Rows& rows, const Sum* x, char* kept, Sum* y) const {
    const auto [first, rest] = packed_layers();
    const int64_t out = layers_[last_].out;
    // what a task has of an event that begins before it
    Buffer<Sum> carried(rows.tasks * width_);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < rows.tasks; task++) {
      const int64_t begin = rows.first(task), end = rows.first(task + 1);
      Workspace work(*this);
      for (int64_t row = begin; row < end; row += BLOCK) {
        const int64_t number = std::min(BLOCK, end - row);
        forward_block(first, rest, x + row * layers_[0].in, number,
                      kept ? kept + row * bytes : nullptr, work);
        rows.parts(row, row + number, [&](int64_t event, int64_t from, int64_t to) {
          Sum* total = rows.begins_before(event, begin) ? carried.data() + task * width_
                                                        : y + event * out;
          add_rows(work.sums.data() + (from - row) * width_, to - from, total);
        });
      }
    }
    for (int64_t task = 1; task < rows.tasks; task++) {
      Sum* total = y + rows.event(rows.first(task)) * out;
      for (int64_t o = 0; o < out; o++) total[o] += carried.data()[task * width_ + o];
    }
  }

  // sums[gradients] += the gradients of all layers, given that of y
  void backward(const Rows& rows, const Sum* x, const char* kept, const Sum* grad,
                Sum* sums) const {
    const Packed<First> first(layers_[0], false);
    std::vector<Packed<A>> packed;
    for (size_t l = 1; l <= last_; l++) packed.emplace_back(layers_[l], true);
    Buffer<Sum> parts(rows.tasks * gradients);
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < rows.tasks; task++) {
        const int64_t end = rows.first(task + 1);
        Workspace work(*this);
        for (int64_t row = rows.first(task); row < end; row += BLOCK) {
          const int64_t number = std::min(BLOCK, end - row);
          const char* block = kept + row * bytes;
          spread(rows, grad, row, number, block + rounded(number, ROWS) * kept_[last_],
                 work.sums.data());
          backward_block(first, packed, x + row * layers_[0].in, number, block, work,
                         parts.data() + task * gradients);
        }
      }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < gradients; i += PADDING)
        for (int64_t task = 0; task < rows.tasks; task++)
          for (int64_t j = i; j < i + PADDING; j++) sums[j] += parts.data()[task * gradients + j];
    }
  }

  // a layer's gradients of weight[out][in] and bias[out] from the sums
  void gradient(size_t l, const Sum* sums, Sum* weight, Sum* bias) const {
    const auto& layer = layers_[l];
    const Sum* from = sums + sums_[l];
    for (int64_t o = 0; o < layer.out; o++)
      for (int64_t i = 0; i < layer.in; i++) weight[o * layer.in + i] = from[i * layer.width() + o];
    std::copy_n(from + rounded(layer.in, ROWS) * layer.width(), layer.out, bias);
  }

 private:
  // what one block needs
  struct Workspace {
    Buffer<Sum> input, sums, gradient;
    Buffer<Group> along, first_along, across[2];

    explicit Workspace(const Network& network)
        : input(BLOCK * network.first_), sums(BLOCK * network.width_),
          gradient(BLOCK * network.widest_), along(BLOCK * network.widest_),
          first_along(BLOCK * network.widest_) {
      for (auto& buffer : across) buffer = Buffer<Group>(BLOCK * network.widest_);
    }
  };

  std::pair<Packed<First>, std::vector<Packed<A>>> packed_layers() const {
    std::vector<Packed<A>> rest;
    for (size_t l = 1; l <= last_; l++) rest.emplace_back(layers_[l], false);
    return {Packed<First>(layers_[0], false), std::move(rest)};
  }

  // one layer of the rows of a block: call f(tile, number, row, vector) for each tile
  template <class B, class F>
  static void apply(const Packed<B>& layer, const typename B::Group* x, int64_t stride,
                    int64_t number, const F& f) {
    panels(layer.width / B::NUMBER, [&](auto n, int64_t v) {
      for (int64_t r = 0; r < number; r += ROWS) {
        Vector tile[ROWS][n];
        for (auto& row : tile)
          for (int i = 0; i < n; i++)
            row[i] = First::load(layer.bias.data() + (v + i) * B::NUMBER);
        multiply<B, n>(tile, x + r * stride, stride, 1, layer.groups.data() + v * B::NUMBER,
                       layer.width, layer.steps);
        f(tile, n, r, v);
      }
    });
  }

  template <int N>
  static void relu(Vector (&tile)[ROWS][N]) {
    for (auto& row : tile)
      for (auto& value : row) value = value <= 0 ? Vector{} : value;  // a NaN stays
  }

  // copy rows of the input, padded with zeros
  void read(const Sum* x, int64_t number, Sum* to) const {
    const int64_t in = layers_[0].in;
    for (int64_t r = 0; r < number; r++) std::copy_n(x + r * in, in, to + r * first_);
    std::fill_n(to + number * first_, (rounded(number, ROWS) - number) * first_, Sum(0));
  }

  void forward_block(const Packed<First>& first, const std::vector<Packed<A>>& rest, const Sum* x,
                     int64_t number, char* kept, Workspace& work) const {
    const int64_t padded = rounded(number, ROWS);
    int now = 0;
    const auto emit = [&](size_t l, auto& tile, auto n, int64_t r, int64_t v) {
      const int64_t width = layers_[l].width();
      char* place = kept ? kept + padded * kept_[l] : nullptr;
      relu<n>(tile);
      if (l == last_) {
        First::template store_across<n>(tile, work.sums.data() + r * width + v * A::NUMBER, width);
        return;
      }
      A::template store_across<n>(
          tile, work.across[now].data() + (r * width + v * A::NUMBER) / A::PAIR, width / A::PAIR);
      if (l > 0 && place)
        A::template store_along<n>(
            tile, reinterpret_cast<Group*>(place) + r * width / A::PAIR + v * A::NUMBER, width);
    };
    read(x, number, work.input.data());
    apply(first, work.input.data(), first_, number,
          [&](auto&... arguments) { emit(0, arguments...); });
    for (size_t l = 1; l <= last_; l++) {
      const Group* from = work.across[now].data();
      now = 1 - now;
      apply(rest[l - 1], from, layers_[l - 1].width() / A::PAIR, number,
            [&](auto&... arguments) { emit(l, arguments...); });
    }
    if (kept)
      flag(work.sums.data(), number * width_, kept + padded * kept_[last_]);
  }

  static void flag(const Sum* __restrict from, int64_t number, char* __restrict to) {
    for (int64_t i = 0; i < number; i++) to[i] = from[i] != 0;
  }

  // to[out] += the sum of rows
  void add_rows(const Sum* from, int64_t number, Sum* to) const {
    const int64_t out = layers_[last_].out;
    for (int64_t c = 0; c < width_; c += PADDING) {
      Sum total[PADDING] = {};
      for (int64_t r = 0; r < number; r++)
        for (int64_t i = 0; i < PADDING; i++) total[i] += from[r * width_ + c + i];
      for (int64_t i = 0; i < std::min(PADDING, out - c); i++) to[c + i] += total[i];
    }
  }

  // the gradient of what the last layer gives before its ReLU, which is that of the row's event
  void spread(const Rows& rows, const Sum* grad, int64_t row, int64_t number, const char* flags,
              Sum* to) const {
    const int64_t out = layers_[last_].out;
    rows.parts(row, row + number, [&](int64_t event, int64_t from, int64_t until) {
      for (int64_t r = from - row; r < until - row; r++)
        for (int64_t o = 0; o < out; o++)
          to[r * width_ + o] = flags[r * width_ + o] ? grad[event * out + o] : Sum(0);
    });
    std::fill_n(to + number * width_, (rounded(number, ROWS) - number) * width_, Sum(0));
  }

  void backward_block(const Packed<First>& first, const std::vector<Packed<A>>& packed,
                      const Sum* x, int64_t number, const char* kept, Workspace& work,
                      Sum* sums) const {
    const int64_t padded = rounded(number, ROWS);
    // what a layer gave
    const auto given = [&](size_t l) -> const Group* {
      if (l == 0) return work.first_along.data();
      return reinterpret_cast<const Group*>(kept + padded * kept_[l]);
    };
    int now = 0;
    // keep the gradient of what a layer gives before its ReLU
    const auto emit = [&](size_t l, auto& tile, auto n, int64_t r, int64_t v) {
      const int64_t width = layers_[l].width();
      const int64_t along = r * width / A::PAIR + v * A::NUMBER;
      if (l == 0) {
        First::template store_along<n>(tile, work.gradient.data() + r * width + v * A::NUMBER,
                                       width);
        return;
      }
      A::template store_across<n>(
          tile, work.across[now].data() + (r * width + v * A::NUMBER) / A::PAIR, width / A::PAIR);
      if (A::PAIR > 1) A::template store_along<n>(tile, work.along.data() + along, width);
    };
    read(x, number, work.input.data());
    if (last_ > 0)
      apply(first, work.input.data(), first_, number,
            [&](auto& tile, auto n, int64_t r, int64_t v) {
              const int64_t width = layers_[0].width();
              relu<n>(tile);
              A::template store_along<n>(
                  tile, work.first_along.data() + r * width / A::PAIR + v * A::NUMBER, width);
            });
    panels(width_ / A::NUMBER, [&](auto n, int64_t v) {
      for (int64_t r = 0; r < number; r += ROWS) {
        Vector tile[ROWS][n];
        for (int i = 0; i < ROWS; i++)
          for (int j = 0; j < n; j++)
            tile[i][j] = First::load(work.sums.data() + (r + i) * width_ + (v + j) * A::NUMBER);
        emit(last_, tile, n, r, v);
      }
    });
    for (size_t l = last_; l > 0; l--) {
      const int64_t width = layers_[l - 1].width();
      const Group* from = work.across[now].data();
      // both forms are the same where a Group is one number
      add_gradient<A>(l, given(l - 1), width, A::PAIR > 1 ? work.along.data() : from,
                      padded / A::PAIR, sums);
      now = 1 - now;
      apply(packed[l - 1], from, layers_[l].width() / A::PAIR, number,
            [&](auto& tile, auto n, int64_t r, int64_t v) {
              A::template mask<n>(tile, given(l - 1) + r * width / A::PAIR + v * A::NUMBER, width);
              emit(l - 1, tile, n, r, v);
            });
    }
    add_gradient<First>(0, work.input.data(), first_, work.gradient.data(), padded, sums);
  }

  // add to the sums of a layer the products of its input and its gradient over the rows of a block
  template <class B>
  void add_gradient(size_t l, const typename B::Group* input, int64_t input_width,
                    const typename B::Group* grad, int64_t steps, Sum* sums) const {
    const int64_t width = layers_[l].width(), in = rounded(layers_[l].in, ROWS);
    panels(width / B::NUMBER, [&](auto n, int64_t v) {
      Sum* at = sums + sums_[l] + v * B::NUMBER;
      for (int64_t i = 0; i < in; i += ROWS, at += ROWS * width) {
        Vector tile[ROWS][n];
        for (int r = 0; r < ROWS; r++)
          for (int j = 0; j < n; j++) tile[r][j] = First::load(at + r * width + j * B::NUMBER);
        multiply<B, n>(tile, input + i, 1, input_width, grad + v * B::NUMBER, width, steps);
        First::template store_across<n>(tile, at, width);
      }
      for (int j = 0; j < n; j++, at += B::NUMBER) {
        Vector total = First::load(at);
        for (int64_t s = 0; s < steps; s++)
          total = B::add_product(total, B::one(), B::load(grad + s * width + (v + j) * B::NUMBER));
        First::store(at, total);
      }
    });
  }

  std::vector<Layer<Sum>> layers_;
  std::vector<int64_t> sums_, kept_;  // where each layer's begin, in what is kept per row
  int64_t widest_ = PADDING, first_, width_;  // of any layer; of the input; of what the last gives
  size_t last_;
};

}  // namespace anomaly_hep
