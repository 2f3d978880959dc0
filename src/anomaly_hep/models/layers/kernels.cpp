// Fused passes over images in channels-last memory, for what torch makes of many passes on a CPU.
//
// Values are bfloat16, float or double; sums are in float, or in double where the values are.
// Inside, tensors are contiguous [image][position][channel]. models/layers/kernels.py says what
// each operator computes and what its gradient is; tests/models/layers/test_kernels.py compares
// each with plain torch.

#include <ATen/core/Tensor.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace {

using at::Tensor;
// the type that values of T are summed in
template <class T>
using Sum = at::opmath_type<T>;

template <class T>
void norm_act(const T* x, const T* residual, T* y, const Sum<T>* weight, const Sum<T>* bias,
              Sum<T>* mean, Sum<T>* rstd, int64_t images, int64_t positions, int64_t channels,
              Sum<T> eps, Sum<T> slope) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    const T* xn = x + n * positions * channels;
    const T* rn = residual ? residual + n * positions * channels : nullptr;
    T* yn = y + n * positions * channels;
    S* m = mean + n * channels;
    S* r = rstd + n * channels;
    std::vector<S> work(4 * channels, 0);
    S *shift = work.data(), *sum = shift + channels, *square = sum + channels,
      *offset = square + channels;
    // deviations from the first position: the difference of two large sums would lose digits
    for (int64_t c = 0; c < channels; c++) shift[c] = S(xn[c]);
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        S v = S(xn[p * channels + c]) - shift[c];
        sum[c] += v;
        square[c] += v * v;
      }
    for (int64_t c = 0; c < channels; c++) {
      S centre = sum[c] / positions;
      S variance = square[c] / positions - centre * centre;
      m[c] = centre + shift[c];
      r[c] = 1 / std::sqrt((variance > 0 ? variance : 0) + eps);
      sum[c] = r[c] * weight[c];
      offset[c] = bias[c] - m[c] * sum[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        int64_t i = p * channels + c;
        S u = S(xn[i]) * sum[c] + offset[c];
        u = u > 0 ? u : slope * u;
        yn[i] = T(rn ? u + S(rn[i]) : u);
      }
  }
}

template <class T>
void norm_act_backward(const T* grad, const T* x, T* grad_x, const Sum<T>* weight,
                       const Sum<T>* bias, const Sum<T>* mean, const Sum<T>* rstd,
                       Sum<T>* grad_weight, Sum<T>* grad_bias, int64_t images, int64_t positions,
                       int64_t channels, Sum<T> slope) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    const int64_t first = n * positions * channels;
    const T *g = grad + first, *xn = x + first;
    T* out = grad_x + first;
    const S *m = mean + n * channels, *r = rstd + n * channels;
    std::vector<S> work(6 * channels, 0);
    S *scale = work.data(), *offset = scale + channels, *s1 = offset + channels,
      *s2 = s1 + channels, *by_x = s2 + channels, *constant = by_x + channels;
    for (int64_t c = 0; c < channels; c++) {
      scale[c] = r[c] * weight[c];
      offset[c] = bias[c] - m[c] * scale[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        S v = S(xn[p * channels + c]), d = S(g[p * channels + c]);
        d = v * scale[c] + offset[c] > 0 ? d : slope * d;
        s1[c] += d;
        s2[c] += d * (v - m[c]);
      }
    for (int64_t c = 0; c < channels; c++) {
      S along = s2[c] * r[c];  // sum of the gradient times the normalised value
      grad_weight[n * channels + c] = along;
      grad_bias[n * channels + c] = s1[c];
      by_x[c] = -scale[c] * r[c] * along / positions;
      constant[c] = -scale[c] * s1[c] / positions - by_x[c] * m[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        int64_t i = p * channels + c;
        S v = S(xn[i]), d = S(g[i]);
        d = v * scale[c] + offset[c] > 0 ? d : slope * d;
        out[i] = T(scale[c] * d + by_x[c] * v + constant[c]);
      }
  }
}

// position 2i looks at i-1 and i with 1/4 and 3/4, position 2i+1 at i and i+1 with 3/4 and 1/4
inline void neighbours(int64_t fine, int64_t size, int64_t& near, int64_t& far) {
  near = fine / 2;
  far = fine % 2 ? near + 1 : near - 1;
  if (far < 0) far = 0;
  if (far >= size) far = size - 1;
}

template <class T>
void upsample(const T* x, T* y, int64_t images, int64_t height, int64_t width, int64_t channels) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t row = 0; row < images * 2 * height; row++) {
    const int64_t n = row / (2 * height), i = row % (2 * height);
    int64_t near, far;
    neighbours(i, height, near, far);
    const T* a = x + (n * height + near) * width * channels;
    const T* b = x + (n * height + far) * width * channels;
    std::vector<S> mixed(width * channels);
    for (int64_t k = 0; k < width * channels; k++) mixed[k] = S(.75) * S(a[k]) + S(.25) * S(b[k]);
    T* out = y + row * 2 * width * channels;
    for (int64_t j = 0; j < 2 * width; j++) {
      int64_t beside, beyond;
      neighbours(j, width, beside, beyond);
      const S *p = mixed.data() + beside * channels, *q = mixed.data() + beyond * channels;
      for (int64_t c = 0; c < channels; c++)
        out[j * channels + c] = T(S(.75) * p[c] + S(.25) * q[c]);
    }
  }
}

template <class T>
void upsample_backward(const T* grad, T* grad_x, int64_t images, int64_t height, int64_t width,
                       int64_t channels) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t row = 0; row < images * height; row++) {
    const int64_t n = row / height, i = row % height;
    std::vector<S> mixed(2 * width * channels, 0), out(width * channels, 0);
    for (int64_t k = 2 * i - 2; k <= 2 * i + 3; k++) {
      if (k < 0 || k >= 2 * height) continue;
      int64_t near, far;
      neighbours(k, height, near, far);
      const S share = S(near == i ? .75 : 0) + S(far == i ? .25 : 0);
      if (share == 0) continue;
      const T* g = grad + (n * 2 * height + k) * 2 * width * channels;
      for (int64_t c = 0; c < 2 * width * channels; c++) mixed[c] += share * S(g[c]);
    }
    for (int64_t j = 0; j < 2 * width; j++) {
      int64_t beside, beyond;
      neighbours(j, width, beside, beyond);
      const S* g = mixed.data() + j * channels;
      S *p = out.data() + beside * channels, *q = out.data() + beyond * channels;
      for (int64_t c = 0; c < channels; c++) p[c] += S(.75) * g[c];
      for (int64_t c = 0; c < channels; c++) q[c] += S(.25) * g[c];
    }
    T* to = grad_x + row * width * channels;
    for (int64_t c = 0; c < width * channels; c++) to[c] = T(out[c]);
  }
}

// rows of `table` (images x rows x channels) that `index` names, the largest of each 3 x 3 window
// of stride 2; `top` and `left` positions are missing before the first window. `chosen` says which
// row each value is from; it may be null where no gradient is wanted
template <class T>
void pool(const T* table, const int32_t* index, T* y, int32_t* chosen, int64_t images,
          int64_t rows, int64_t height, int64_t width, int64_t channels, int64_t out_height,
          int64_t out_width, int64_t top, int64_t left) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t row = 0; row < images * out_height; row++) {
    const int64_t n = row / out_height, i = row % out_height;
    std::vector<S> best(channels);
    for (int64_t j = 0; j < out_width; j++) {
      int32_t* who = chosen ? chosen + (row * out_width + j) * channels : nullptr;
      T* out = y + (row * out_width + j) * channels;
      int32_t seen[9];
      int found = 0;
      for (int64_t h = 2 * i - top; h < 2 * i - top + 3; h++)
        for (int64_t w = 2 * j - left; w < 2 * j - left + 3; w++) {
          if (h < 0 || h >= height || w < 0 || w >= width) continue;
          const int64_t place = h * width + w;
          const int32_t k = index ? index[n * height * width + place] : int32_t(place);
          bool known = false;
          for (int s = 0; s < found; s++) known = known || seen[s] == k;
          if (known) continue;
          const T* from = table + (n * rows + k) * channels;
          if (found == 0) {
            for (int64_t c = 0; c < channels; c++) best[c] = S(from[c]);
            if (who) for (int64_t c = 0; c < channels; c++) who[c] = k;
          } else if (!who) {
            for (int64_t c = 0; c < channels; c++) {
              const S v = S(from[c]);
              best[c] = v > best[c] ? v : best[c];
            }
          } else {
            for (int64_t c = 0; c < channels; c++) {
              const S v = S(from[c]);
              const bool larger = v > best[c];
              best[c] = larger ? v : best[c];
              who[c] = larger ? k : who[c];
            }
          }
          seen[found++] = k;
        }
      for (int64_t c = 0; c < channels; c++) out[c] = T(best[c]);
    }
  }
}

template <class T>
void pool_backward(const T* grad, const int32_t* chosen, T* grad_table, int64_t images,
                   int64_t rows, int64_t outputs, int64_t channels) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    std::vector<S> sum(rows * channels, 0);
    for (int64_t p = 0; p < outputs; p++) {
      const T* g = grad + (n * outputs + p) * channels;
      const int32_t* k = chosen + (n * outputs + p) * channels;
      for (int64_t c = 0; c < channels; c++) sum[int64_t(k[c]) * channels + c] += S(g[c]);
    }
    T* out = grad_table + n * rows * channels;
    for (int64_t i = 0; i < rows * channels; i++) out[i] = T(sum[i]);
  }
}

template <class T>
void gather(const T* table, const int32_t* index, T* y, int64_t images, int64_t rows,
            int64_t outputs, int64_t channels) {
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++)
    for (int64_t p = 0; p < outputs; p++)
      std::memcpy(y + (n * outputs + p) * channels,
                  table + (n * rows + index[n * outputs + p]) * channels, channels * sizeof(T));
}

template <class T>
void gather_backward(const T* grad, const int32_t* index, T* grad_table, int64_t images,
                     int64_t rows, int64_t outputs, int64_t channels) {
  using S = Sum<T>;
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    std::vector<S> sum(rows * channels, 0);
    for (int64_t p = 0; p < outputs; p++) {
      const T* g = grad + (n * outputs + p) * channels;
      S* to = sum.data() + int64_t(index[n * outputs + p]) * channels;
      for (int64_t c = 0; c < channels; c++) to[c] += S(g[c]);
    }
    T* out = grad_table + n * rows * channels;
    for (int64_t i = 0; i < rows * channels; i++) out[i] = T(sum[i]);
  }
}

// ---- the same as operators of torch ----

Tensor channels_last(const Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

Tensor image(at::IntArrayRef sizes, const Tensor& like) {
  return at::empty(sizes, like.options(), at::MemoryFormat::ChannelsLast);
}

// what belongs to a channel, in the type of the sums
Tensor of_sums(const Tensor& values, const Tensor& x) {
  return values.to(at::toOpMathType(x.scalar_type())).contiguous();
}

#define FOR_EACH_TYPE(TENSOR, ...)                                             \
  AT_DISPATCH_SWITCH(TENSOR.scalar_type(), __func__,                           \
                     AT_DISPATCH_CASE(at::kBFloat16, __VA_ARGS__)              \
                     AT_DISPATCH_CASE_FLOATING_TYPES(__VA_ARGS__))

std::tuple<Tensor, Tensor, Tensor> norm_act_op(const Tensor& input, const Tensor& weight,
                                               const Tensor& bias,
                                               const std::optional<Tensor>& residual, double eps,
                                               double slope) {
  const Tensor x = channels_last(input), w = of_sums(weight, x), b = of_sums(bias, x);
  const Tensor r = residual ? channels_last(*residual) : Tensor();
  const int64_t images = x.size(0), channels = x.size(1), positions = x.size(2) * x.size(3);
  Tensor y = image(x.sizes(), x);
  Tensor mean = at::empty({images, channels}, w.options()), rstd = at::empty_like(mean);
  FOR_EACH_TYPE(x, [&] {
    using S = Sum<scalar_t>;
    norm_act<scalar_t>(x.const_data_ptr<scalar_t>(),
                       residual ? r.const_data_ptr<scalar_t>() : nullptr, y.data_ptr<scalar_t>(),
                       w.const_data_ptr<S>(), b.const_data_ptr<S>(), mean.data_ptr<S>(),
                       rstd.data_ptr<S>(), images, positions, channels, S(eps), S(slope));
  });
  return {y, mean, rstd};
}

std::tuple<Tensor, Tensor, Tensor> norm_act_backward_op(const Tensor& grad, const Tensor& input,
                                                        const Tensor& weight, const Tensor& bias,
                                                        const Tensor& mean, const Tensor& rstd,
                                                        double slope) {
  const Tensor x = channels_last(input), g = channels_last(grad.to(x.scalar_type()));
  const Tensor w = of_sums(weight, x), b = of_sums(bias, x);
  const int64_t images = x.size(0), channels = x.size(1), positions = x.size(2) * x.size(3);
  Tensor grad_x = image(x.sizes(), x);
  Tensor by_weight = at::empty_like(mean), by_bias = at::empty_like(mean);
  FOR_EACH_TYPE(x, [&] {
    using S = Sum<scalar_t>;
    norm_act_backward<scalar_t>(
        g.const_data_ptr<scalar_t>(), x.const_data_ptr<scalar_t>(), grad_x.data_ptr<scalar_t>(),
        w.const_data_ptr<S>(), b.const_data_ptr<S>(), mean.const_data_ptr<S>(),
        rstd.const_data_ptr<S>(), by_weight.data_ptr<S>(), by_bias.data_ptr<S>(), images,
        positions, channels, S(slope));
  });
  return {grad_x, by_weight.sum(0), by_bias.sum(0)};
}

Tensor upsample_op(const Tensor& input) {
  const Tensor x = channels_last(input);
  Tensor y = image({x.size(0), x.size(1), 2 * x.size(2), 2 * x.size(3)}, x);
  FOR_EACH_TYPE(x, [&] {
    upsample<scalar_t>(x.const_data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), x.size(0), x.size(2),
                       x.size(3), x.size(1));
  });
  return y;
}

Tensor upsample_backward_op(const Tensor& gradient) {
  const Tensor grad = channels_last(gradient);
  Tensor x = image({grad.size(0), grad.size(1), grad.size(2) / 2, grad.size(3) / 2}, grad);
  FOR_EACH_TYPE(x, [&] {
    upsample_backward<scalar_t>(grad.const_data_ptr<scalar_t>(), x.data_ptr<scalar_t>(), x.size(0),
                                x.size(2), x.size(3), x.size(1));
  });
  return x;
}

// without an index, the rows of the table are the positions of an image of `height` x `width`
std::tuple<Tensor, Tensor> pool_op(const Tensor& rows, const std::optional<Tensor>& index,
                                   int64_t height, int64_t width, int64_t top, int64_t left,
                                   bool with_chosen) {
  const Tensor table = rows.contiguous(), which = index ? index->contiguous() : Tensor();
  const int64_t images = table.size(0), channels = table.size(2);
  const int64_t out_height = (height + 1) / 2, out_width = (width + 1) / 2;
  Tensor y = at::empty({images, out_height * out_width, channels}, table.options());
  Tensor chosen =
      at::empty(with_chosen ? y.sizes() : at::IntArrayRef({0}), y.options().dtype(at::kInt));
  FOR_EACH_TYPE(table, [&] {
    pool<scalar_t>(table.const_data_ptr<scalar_t>(),
                   index ? which.const_data_ptr<int32_t>() : nullptr, y.data_ptr<scalar_t>(),
                   with_chosen ? chosen.data_ptr<int32_t>() : nullptr, images, table.size(1),
                   height, width, channels, out_height, out_width, top, left);
  });
  return {y, chosen};
}

Tensor pool_backward_op(const Tensor& gradient, const Tensor& chosen, int64_t rows) {
  const Tensor grad = gradient.contiguous();
  Tensor table = at::empty({grad.size(0), rows, grad.size(2)}, grad.options());
  FOR_EACH_TYPE(grad, [&] {
    pool_backward<scalar_t>(grad.const_data_ptr<scalar_t>(), chosen.const_data_ptr<int32_t>(),
                            table.data_ptr<scalar_t>(), grad.size(0), rows, grad.size(1),
                            grad.size(2));
  });
  return table;
}

Tensor gather_op(const Tensor& rows, const Tensor& index) {
  const Tensor table = rows.contiguous(), which = index.contiguous();
  const int64_t images = table.size(0), channels = table.size(2), outputs = which.size(1);
  Tensor y = at::empty({images, outputs, channels}, table.options());
  FOR_EACH_TYPE(table, [&] {
    gather<scalar_t>(table.const_data_ptr<scalar_t>(), which.const_data_ptr<int32_t>(),
                     y.data_ptr<scalar_t>(), images, table.size(1), outputs, channels);
  });
  return y;
}

Tensor gather_backward_op(const Tensor& gradient, const Tensor& index, int64_t rows) {
  const Tensor grad = gradient.contiguous(), which = index.contiguous();
  Tensor table = at::empty({grad.size(0), rows, grad.size(2)}, grad.options());
  FOR_EACH_TYPE(grad, [&] {
    gather_backward<scalar_t>(grad.const_data_ptr<scalar_t>(), which.const_data_ptr<int32_t>(),
                              table.data_ptr<scalar_t>(), grad.size(0), rows, grad.size(1),
                              grad.size(2));
  });
  return table;
}

}  // namespace

TORCH_LIBRARY(anomaly_hep, m) {
  m.def("norm_act(Tensor x, Tensor weight, Tensor bias, Tensor? residual, float eps, float slope)"
        " -> (Tensor, Tensor, Tensor)");
  m.def("norm_act_backward(Tensor grad, Tensor x, Tensor weight, Tensor bias, Tensor mean,"
        " Tensor rstd, float slope) -> (Tensor, Tensor, Tensor)");
  m.def("upsample(Tensor x) -> Tensor");
  m.def("upsample_backward(Tensor grad) -> Tensor");
  m.def("pool(Tensor table, Tensor? index, int height, int width, int top, int left,"
        " bool with_chosen) -> (Tensor, Tensor)");
  m.def("pool_backward(Tensor grad, Tensor chosen, int rows) -> Tensor");
  m.def("gather(Tensor table, Tensor index) -> Tensor");
  m.def("gather_backward(Tensor grad, Tensor index, int rows) -> Tensor");
}

TORCH_LIBRARY_IMPL(anomaly_hep, CPU, m) {
  m.impl("norm_act", norm_act_op);
  m.impl("norm_act_backward", norm_act_backward_op);
  m.impl("upsample", upsample_op);
  m.impl("upsample_backward", upsample_backward_op);
  m.impl("pool", pool_op);
  m.impl("pool_backward", pool_backward_op);
  m.impl("gather", gather_op);
  m.impl("gather_backward", gather_backward_op);
}
