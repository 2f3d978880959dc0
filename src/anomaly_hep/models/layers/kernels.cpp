// Fused passes over images in channels-last memory, for what torch makes of many passes on a CPU.
//
// Every function exists for float and for bfloat16 values; sums are in float. Tensors are
// contiguous [image][position][channel]. models/layers/kernels.py compiles this file and says what
// each function computes; tests/models/test_kernels.py compares each with plain torch.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

struct bfloat16 { uint16_t bits; };

inline float load(float v) { return v; }
inline float load(bfloat16 v) {
  uint32_t wide = uint32_t(v.bits) << 16;
  float out;
  std::memcpy(&out, &wide, 4);
  return out;
}
inline void store(float& to, float v) { to = v; }
inline void store(bfloat16& to, float v) {
  // round to nearest even; a NaN stays a NaN, since its mantissa cannot overflow into the exponent
  uint32_t wide;
  std::memcpy(&wide, &v, 4);
  if (v != v) { to.bits = uint16_t((wide >> 16) | 0x40); return; }
  wide += 0x7fff + ((wide >> 16) & 1);
  to.bits = uint16_t(wide >> 16);
}

template <class T>
void norm_act(const T* x, const T* residual, T* y, const float* weight, const float* bias,
              float* mean, float* rstd, int64_t images, int64_t positions, int64_t channels,
              float eps, float slope) {
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    const T* xn = x + n * positions * channels;
    const T* rn = residual ? residual + n * positions * channels : nullptr;
    T* yn = y + n * positions * channels;
    float* m = mean + n * channels;
    float* r = rstd + n * channels;
    std::vector<float> work(4 * channels, 0.f);
    float *shift = work.data(), *sum = shift + channels, *square = sum + channels,
          *offset = square + channels;
    // deviations from the first position: the difference of two large sums would lose digits
    for (int64_t c = 0; c < channels; c++) shift[c] = load(xn[c]);
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        float v = load(xn[p * channels + c]) - shift[c];
        sum[c] += v;
        square[c] += v * v;
      }
    for (int64_t c = 0; c < channels; c++) {
      float centre = sum[c] / positions;
      float variance = square[c] / positions - centre * centre;
      m[c] = centre + shift[c];
      r[c] = 1.f / std::sqrt((variance > 0 ? variance : 0.f) + eps);
      sum[c] = r[c] * weight[c];
      offset[c] = bias[c] - m[c] * sum[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        int64_t i = p * channels + c;
        float u = load(xn[i]) * sum[c] + offset[c];
        u = u > 0 ? u : slope * u;
        store(yn[i], rn ? u + load(rn[i]) : u);
      }
  }
}

template <class T>
void norm_act_backward(const T* grad, const T* x, T* grad_x, const float* weight,
                       const float* bias, const float* mean, const float* rstd,
                       float* grad_weight, float* grad_bias, int64_t images, int64_t positions,
                       int64_t channels, float slope) {
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    const int64_t first = n * positions * channels;
    const T *g = grad + first, *xn = x + first;
    T* out = grad_x + first;
    const float *m = mean + n * channels, *r = rstd + n * channels;
    std::vector<float> work(6 * channels, 0.f);
    float *scale = work.data(), *offset = scale + channels, *s1 = offset + channels,
          *s2 = s1 + channels, *by_x = s2 + channels, *constant = by_x + channels;
    for (int64_t c = 0; c < channels; c++) {
      scale[c] = r[c] * weight[c];
      offset[c] = bias[c] - m[c] * scale[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        float v = load(xn[p * channels + c]), d = load(g[p * channels + c]);
        d = v * scale[c] + offset[c] > 0 ? d : slope * d;
        s1[c] += d;
        s2[c] += d * (v - m[c]);
      }
    for (int64_t c = 0; c < channels; c++) {
      float along = s2[c] * r[c];  // sum of the gradient times the normalised value
      grad_weight[n * channels + c] = along;
      grad_bias[n * channels + c] = s1[c];
      by_x[c] = -scale[c] * r[c] * along / positions;
      constant[c] = -scale[c] * s1[c] / positions - by_x[c] * m[c];
    }
    for (int64_t p = 0; p < positions; p++)
      for (int64_t c = 0; c < channels; c++) {
        int64_t i = p * channels + c;
        float v = load(xn[i]), d = load(g[i]);
        d = v * scale[c] + offset[c] > 0 ? d : slope * d;
        store(out[i], scale[c] * d + by_x[c] * v + constant[c]);
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
#pragma omp parallel for
  for (int64_t row = 0; row < images * 2 * height; row++) {
    const int64_t n = row / (2 * height), i = row % (2 * height);
    int64_t near, far;
    neighbours(i, height, near, far);
    const T* a = x + (n * height + near) * width * channels;
    const T* b = x + (n * height + far) * width * channels;
    std::vector<float> mixed(width * channels);
    for (int64_t k = 0; k < width * channels; k++) mixed[k] = .75f * load(a[k]) + .25f * load(b[k]);
    T* out = y + row * 2 * width * channels;
    for (int64_t j = 0; j < 2 * width; j++) {
      int64_t beside, beyond;
      neighbours(j, width, beside, beyond);
      const float *p = mixed.data() + beside * channels, *q = mixed.data() + beyond * channels;
      for (int64_t c = 0; c < channels; c++) store(out[j * channels + c], .75f * p[c] + .25f * q[c]);
    }
  }
}

template <class T>
void upsample_backward(const T* grad, T* grad_x, int64_t images, int64_t height, int64_t width,
                       int64_t channels) {
#pragma omp parallel for
  for (int64_t row = 0; row < images * height; row++) {
    const int64_t n = row / height, i = row % height;
    std::vector<float> mixed(2 * width * channels, 0.f), out(width * channels, 0.f);
    for (int64_t k = 2 * i - 2; k <= 2 * i + 3; k++) {
      if (k < 0 || k >= 2 * height) continue;
      int64_t near, far;
      neighbours(k, height, near, far);
      const float share = (near == i ? .75f : 0.f) + (far == i ? .25f : 0.f);
      if (share == 0.f) continue;
      const T* g = grad + (n * 2 * height + k) * 2 * width * channels;
      for (int64_t c = 0; c < 2 * width * channels; c++) mixed[c] += share * load(g[c]);
    }
    for (int64_t j = 0; j < 2 * width; j++) {
      int64_t beside, beyond;
      neighbours(j, width, beside, beyond);
      const float* g = mixed.data() + j * channels;
      float *p = out.data() + beside * channels, *q = out.data() + beyond * channels;
      for (int64_t c = 0; c < channels; c++) p[c] += .75f * g[c];
      for (int64_t c = 0; c < channels; c++) q[c] += .25f * g[c];
    }
    T* to = grad_x + row * width * channels;
    for (int64_t c = 0; c < width * channels; c++) store(to[c], out[c]);
  }
}

// rows of `table` (images x rows x channels) that `index` names, the largest of each 3 x 3 window
// of stride 2; `top` and `left` positions are missing before the first window. `chosen` says which
// row each value is from; it may be null where no gradient is wanted
template <class T>
void pool(const T* table, const int32_t* index, T* y, int32_t* chosen, int64_t images,
          int64_t rows, int64_t height, int64_t width, int64_t channels, int64_t out_height,
          int64_t out_width, int64_t top, int64_t left) {
#pragma omp parallel for
  for (int64_t row = 0; row < images * out_height; row++) {
    const int64_t n = row / out_height, i = row % out_height;
    std::vector<float> best(channels);
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
            for (int64_t c = 0; c < channels; c++) best[c] = load(from[c]);
            if (who) for (int64_t c = 0; c < channels; c++) who[c] = k;
          } else if (!who) {
            for (int64_t c = 0; c < channels; c++) {
              const float v = load(from[c]);
              best[c] = v > best[c] ? v : best[c];
            }
          } else {
            for (int64_t c = 0; c < channels; c++) {
              const float v = load(from[c]);
              const bool larger = v > best[c];
              best[c] = larger ? v : best[c];
              who[c] = larger ? k : who[c];
            }
          }
          seen[found++] = k;
        }
      for (int64_t c = 0; c < channels; c++) store(out[c], best[c]);
    }
  }
}

template <class T>
void pool_backward(const T* grad, const int32_t* chosen, T* grad_table, int64_t images,
                   int64_t rows, int64_t outputs, int64_t channels) {
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    std::vector<float> sum(rows * channels, 0.f);
    for (int64_t p = 0; p < outputs; p++) {
      const T* g = grad + (n * outputs + p) * channels;
      const int32_t* k = chosen + (n * outputs + p) * channels;
      for (int64_t c = 0; c < channels; c++) sum[int64_t(k[c]) * channels + c] += load(g[c]);
    }
    T* out = grad_table + n * rows * channels;
    for (int64_t i = 0; i < rows * channels; i++) store(out[i], sum[i]);
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
#pragma omp parallel for
  for (int64_t n = 0; n < images; n++) {
    std::vector<float> sum(rows * channels, 0.f);
    for (int64_t p = 0; p < outputs; p++) {
      const T* g = grad + (n * outputs + p) * channels;
      float* to = sum.data() + int64_t(index[n * outputs + p]) * channels;
      for (int64_t c = 0; c < channels; c++) to[c] += load(g[c]);
    }
    T* out = grad_table + n * rows * channels;
    for (int64_t i = 0; i < rows * channels; i++) store(out[i], sum[i]);
  }
}

}  // namespace

#define FOR_BOTH_TYPES(NAME, PARAMETERS, ARGUMENTS)                          \
  extern "C" void NAME##_float32 PARAMETERS(float) { NAME<float> ARGUMENTS; } \
  extern "C" void NAME##_bfloat16 PARAMETERS(bfloat16) { NAME<bfloat16> ARGUMENTS; }

#define NORM_ACT(T)                                                                           \
  (const T* x, const T* residual, T* y, const float* weight, const float* bias, float* mean,  \
   float* rstd, int64_t images, int64_t positions, int64_t channels, float eps, float slope)
FOR_BOTH_TYPES(norm_act, NORM_ACT, (x, residual, y, weight, bias, mean, rstd, images, positions, channels, eps, slope))

#define NORM_ACT_BACKWARD(T)                                                                  \
  (const T* grad, const T* x, T* grad_x, const float* weight, const float* bias,              \
   const float* mean, const float* rstd, float* grad_weight, float* grad_bias, int64_t images, \
   int64_t positions, int64_t channels, float slope)
FOR_BOTH_TYPES(norm_act_backward, NORM_ACT_BACKWARD, (grad, x, grad_x, weight, bias, mean, rstd, grad_weight, grad_bias, images, positions, channels, slope))

#define UPSAMPLE(T) \
  (const T* x, T* y, int64_t images, int64_t height, int64_t width, int64_t channels)
FOR_BOTH_TYPES(upsample, UPSAMPLE, (x, y, images, height, width, channels))
FOR_BOTH_TYPES(upsample_backward, UPSAMPLE, (x, y, images, height, width, channels))

#define POOL(T)                                                                           \
  (const T* table, const int32_t* index, T* y, int32_t* chosen, int64_t images,           \
   int64_t rows, int64_t height, int64_t width, int64_t channels, int64_t out_height,     \
   int64_t out_width, int64_t top, int64_t left)
FOR_BOTH_TYPES(pool, POOL, (table, index, y, chosen, images, rows, height, width, channels, out_height, out_width, top, left))

#define BY_INDEX(T)                                                              \
  (const T* from, const int32_t* index, T* to, int64_t images, int64_t rows,     \
   int64_t outputs, int64_t channels)
FOR_BOTH_TYPES(pool_backward, BY_INDEX, (from, index, to, images, rows, outputs, channels))
FOR_BOTH_TYPES(gather, BY_INDEX, (from, index, to, images, rows, outputs, channels))
FOR_BOTH_TYPES(gather_backward, BY_INDEX, (from, index, to, images, rows, outputs, channels))
