// Products of small matrices in vector registers, in the numbers' own type or in bfloat16.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace anomaly_hep {

constexpr int64_t ROWS = 4;      // rows of a tile of a product
constexpr int64_t PADDING = 16;  // features are padded with zeros to a multiple of this
#ifdef __AVX512F__
constexpr int64_t WIDTH = 64;   // bytes of a vector register
constexpr int64_t COLUMNS = 5;  // most vectors in a row of a tile, which stays in registers
#else
constexpr int64_t WIDTH = 32;
constexpr int64_t COLUMNS = 2;
#endif

inline int64_t rounded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// aligned memory for numbers of type T, zero in the beginning
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t size = 0) : lines_(rounded(size * sizeof(T), sizeof(Line)) / sizeof(Line)) {}
  T* data() { return reinterpret_cast<T*>(lines_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(lines_.data()); }

 private:
  struct alignas(64) Line {
    char bytes[64];
  };
  std::vector<Line> lines_;
};

// An arithmetic says in which form a product takes its factors. A Group holds the PAIR numbers that
// one instruction multiplies and sums: neighbours along what a product sums over. A matrix is
// stored `across`, with groups of two columns of a row, for products that sum over its columns, or
// `along`, with groups of two rows of a column, for products that sum over its rows.

template <class T>
struct Exact {
  using Sum = T;
  using Group = T;
  typedef T Vector __attribute__((vector_size(WIDTH)));
  static constexpr int64_t PAIR = 1;
  static constexpr int64_t NUMBER = WIDTH / sizeof(T);  // of the sums in a Vector

  static Group group(const Sum* values) { return values[0]; }
  static Group one() { return T(1); }
  static Vector load(const Group* from) { return *reinterpret_cast<const Vector*>(from); }
  static void store(Group* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }
  static Vector add_product(Vector sum, Group x, Vector y) { return sum + x * y; }

  template <int N>
  static void store_across(const Vector (&tile)[ROWS][N], Group* to, int64_t stride) {
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < N; v++) store(to + r * stride + v * NUMBER, tile[r][v]);
  }

  template <int N>
  static void store_along(const Vector (&tile)[ROWS][N], Group* to, int64_t stride) {
    store_across<N>(tile, to, stride);
  }

  // set a tile to 0 where `values`, stored along, are
  template <int N>
  static void mask(Vector (&tile)[ROWS][N], const Group* values, int64_t stride) {
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < N; v++)
        tile[r][v] = load(values + r * stride + v * NUMBER) == 0 ? Vector{} : tile[r][v];
  }
};

#ifdef __AVX512BF16__
// factors in bfloat16, sums in float
struct Brief {
  using Sum = float;
  using Group = uint32_t;
  using Vector = Exact<float>::Vector;
  static constexpr int64_t PAIR = 2;
  static constexpr int64_t NUMBER = Exact<float>::NUMBER;

  static Group group(const Sum* values) {
    const __m128bh pair = _mm_cvtneps_pbh(_mm_setr_ps(values[0], values[1], 0, 0));
    return Group(_mm_cvtsi128_si32((__m128i)pair));
  }
  static Group one() { return 0x3f803f80; }
  static __m512i load(const Group* from) { return _mm512_load_si512(from); }
  static Vector add_product(Vector sum, Group x, __m512i y) {
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(x)), (__m512bh)y);
  }
  static __m512i both(Vector low, Vector high) {
    return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  }

  template <int N>
  static void store_across(const Vector (&tile)[ROWS][N], Group* to, int64_t stride) {
    for (int r = 0; r < ROWS; r += 2)
      for (int v = 0; v < N; v++) {
        const __m512i rows = both(tile[r][v], tile[r + 1][v]);
        Group* at = to + r * stride + v * NUMBER / PAIR;
        _mm256_store_si256((__m256i*)at, _mm512_castsi512_si256(rows));
        _mm256_store_si256((__m256i*)(at + stride), _mm512_extracti64x4_epi64(rows, 1));
      }
  }

  template <int N>
  static void store_along(const Vector (&tile)[ROWS][N], Group* to, int64_t stride) {
    // the two rows' numbers in turn
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0);
    for (int r = 0; r < ROWS; r += 2)
      for (int v = 0; v < N; v++)
        _mm512_store_si512(to + r / 2 * stride + v * NUMBER,
                           _mm512_permutexvar_epi16(order, both(tile[r][v], tile[r + 1][v])));
  }

  template <int N>
  static void mask(Vector (&tile)[ROWS][N], const Group* values, int64_t stride) {
    const __m512i low = _mm512_set1_epi32(0xffff), high = _mm512_set1_epi32(int(0xffff0000));
    const auto masked = [](__m512i rows, __m512i half, Vector& of) {
      of = (Vector)_mm512_maskz_mov_ps(_mm512_test_epi32_mask(rows, half), (__m512)of);
    };
    for (int r = 0; r < ROWS; r += 2)
      for (int v = 0; v < N; v++) {
        const __m512i rows = load(values + r / 2 * stride + v * NUMBER);
        masked(rows, low, tile[r][v]);
        masked(rows, high, tile[r + 1][v]);
      }
  }
};
#endif

// keep a vector in a register: the compiler would load it again for each product
template <class V>
[[gnu::always_inline]] inline V in_register(V value) {
#ifdef __AVX512F__
  asm("" : "+v"(value));
#endif
  return value;
}

// add to a tile the products, summed over `steps` groups: x is read at row * between_rows + step *
// between_steps, y at step * stride
template <class A, int N>
[[gnu::always_inline]] inline void multiply(typename A::Vector (&tile)[ROWS][N],
                                            const typename A::Group* x, int64_t between_rows,
                                            int64_t between_steps, const typename A::Group* y,
                                            int64_t stride, int64_t steps) {
  for (int64_t s = 0; s < steps; s++, x += between_steps, y += stride) {
    decltype(A::load(y)) columns[N];
    for (int v = 0; v < N; v++) columns[v] = in_register(A::load(y + v * A::NUMBER));
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < N; v++)
        tile[r][v] = A::add_product(tile[r][v], x[r * between_rows], columns[v]);
  }
}

// call f(number, first) for panels of at most COLUMNS vectors, a constant number, that cover all
template <class F>
[[gnu::always_inline]] inline void panels(int64_t vectors, const F& f) {
  for (int64_t v = 0; v < vectors; v += COLUMNS) switch (std::min(vectors - v, COLUMNS)) {
      case 1: f(std::integral_constant<int, 1>(), v); break;
      case 2: f(std::integral_constant<int, 2>(), v); break;
#ifdef __AVX512F__
      case 3: f(std::integral_constant<int, 3>(), v); break;
      case 4: f(std::integral_constant<int, 4>(), v); break;
      case 5: f(std::integral_constant<int, 5>(), v); break;
#endif
    }
}

}  // namespace anomaly_hep
