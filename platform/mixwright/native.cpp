// The memory-bound pieces of a LLaMA layer in bf16 or fp32 on processors, each in one visit to memory; arithmetic within is fp32.
//
// What comes in: what the autograd functions of kernels.py and attention.py hold. What goes out: what torch's own operators would
// give in several visits each. native.py compiles and finds this file; without it everything runs on torch's operators. A number of
// type T is one as it stands in memory; where the processor has no bf16 instructions, fp32 alone comes here.
//
// Legend: as in kernels.py and attention.py.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <immintrin.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::BFloat16;
using at::Tensor;
using Wide = at::vec::Vectorized<float>;
using Narrow = at::vec::Vectorized<BFloat16>;

constexpr int64_t STEP = Narrow::size();
constexpr int64_t HALF = Wide::size();
constexpr int64_t GRAIN = 16;  // rows that are worth a thread

struct Pair {
    Wide low, high;
};

inline __attribute__((always_inline)) Pair load(const BFloat16* from, int64_t count = STEP) {
    auto [low, high] = at::vec::convert_bfloat16_float(Narrow::loadu(from, count));
    return {low, high};
}

inline __attribute__((always_inline)) Pair load(const float* from, int64_t count = STEP) {
    if (count == STEP) return {Wide::loadu(from), Wide::loadu(from + HALF)};
    if (count <= HALF) return {Wide::loadu(from, count), Wide(0.f)};
    return {Wide::loadu(from), Wide::loadu(from + HALF, count - HALF)};
}

inline __attribute__((always_inline)) Narrow narrowed(const Pair& value) {
#ifdef __AVX512BF16__  // torch's headers round by hand, in a dozen instructions
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(value.high, value.low));
#else
    return at::vec::convert_float_bfloat16(value.low, value.high);
#endif
}

inline __attribute__((always_inline)) void store(BFloat16* to, const Pair& value, int64_t count = STEP) {
    narrowed(value).store(to, count);
}

inline __attribute__((always_inline)) void store(float* to, const Pair& value, int64_t count = STEP) {
    value.low.store(to, std::min<int64_t>(count, HALF));
    if (count > HALF) value.high.store(to + HALF, count - HALF);
}

// As T holds it.
template <typename T>
inline __attribute__((always_inline)) Pair rounded(const Pair& value) {
    if constexpr (std::is_same_v<T, float>) return value;
    auto [low, high] = at::vec::convert_bfloat16_float(narrowed(value));
    return {low, high};
}

// e^value, as exactly as T asks for: torch's own within 20 units of the last place of fp32, or, for fp32, within 2.
template <typename T>
inline __attribute__((always_inline)) Wide exponential(const Wide& value) {
    if constexpr (!std::is_same_v<T, float>) return value.exp_u20();
    // value = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts; e^r by its Taylor polynomial. Below -104 all is 0, as e^value is.
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-104.f), _mm512_min_ps(_mm512_set1_ps(89.f), value));  // NaN stays NaN
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 most = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), most);
    __m512 sum = _mm512_set1_ps(1.f / 5040);
    for (const float factor : {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f, 1.f, 1.f})
        sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(factor));
    return _mm512_scalef_ps(sum, n);
}

inline float sum(const Pair& value) {
    return at::vec::vec_reduce_all<float>([](Wide a, Wide b) { return a + b; }, value.low + value.high);
}

inline float largest(const Pair& value) {
    return at::vec::vec_reduce_all<float>(
        [](Wide a, Wide b) { return at::vec::maximum(a, b); }, at::vec::maximum(value.low, value.high));
}

// Calls `visit(offset, count)` for each vector of a row; the last may be shorter. Loads of fewer elements fill up with zeros.
// A whole vector's count is a constant, so that the compiler makes two loops of it.
template <typename Visit>
inline __attribute__((always_inline)) void along(int64_t width, const Visit& visit) {
    int64_t at = 0;
    for (; at + STEP <= width; at += STEP) visit(at, std::integral_constant<int64_t, STEP>());
    if (at < width) visit(at, width - at);
}

// An operator in both types: the one that its first argument holds is called.
template <auto IN_BF16, auto IN_FP32>
struct Either;

template <typename Result, typename... Given, Result (*IN_BF16)(Given...), Result (*IN_FP32)(Given...)>
struct Either<IN_BF16, IN_FP32> {
    static Result call(Given... given) {
        const bool wide = std::get<0>(std::tie(given...)).scalar_type() == at::kFloat;
        return wide ? IN_FP32(given...) : IN_BF16(given...);
    }
};

template <typename Work>
inline void rows_in_parallel(int64_t rows, const Work& work) {
    at::parallel_for(0, rows, GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) work(row);
    });
}

// y = normed * weight with normed = x / rms(x) in bf16: (y, normed, 1 / rms).
template <typename T>
std::tuple<Tensor, Tensor, Tensor> rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
    const Tensor x_NC = x.contiguous(), w_C = weight.contiguous();
    const int64_t rows = x_NC.size(0), width = x_NC.size(1);
    Tensor y_NC = at::empty_like(x_NC), normed_NC = at::empty_like(x_NC);
    Tensor inverse_N1 = at::empty({rows, 1}, x_NC.options().dtype(at::kFloat));
    const T *from = x_NC.const_data_ptr<T>(), *w = w_C.const_data_ptr<T>();
    T *y = y_NC.mutable_data_ptr<T>(), *normed = normed_NC.mutable_data_ptr<T>();
    float* inverses = inverse_N1.mutable_data_ptr<float>();
    rows_in_parallel(rows, [&](int64_t row) {
        const int64_t start = row * width;
        Pair squares{Wide(0.f), Wide(0.f)};
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair value = load(from + start + at, count);
            squares = {squares.low + value.low * value.low, squares.high + value.high * value.high};
        });
        const float inverse = 1.f / std::sqrt(sum(squares) / static_cast<float>(width) + static_cast<float>(epsilon));
        inverses[row] = inverse;
        const Wide scale(inverse);
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair value = load(from + start + at, count), weights = load(w + at, count);
            const Pair unit = rounded<T>({value.low * scale, value.high * scale});
            store(normed + start + at, unit, count);
            store(y + start + at, {unit.low * weights.low, unit.high * weights.high}, count);
        });
    });
    return {y_NC, normed_NC, inverse_N1};
}

// d_x of rms_norm; the weight is frozen.
template <typename T>
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& normed, const Tensor& weight, const Tensor& inverse) {
    const Tensor d_y_NC = d_y.contiguous(), w_C = weight.contiguous();
    const int64_t rows = d_y_NC.size(0), width = d_y_NC.size(1);
    Tensor d_x_NC = at::empty_like(d_y_NC);
    const T *d = d_y_NC.const_data_ptr<T>(), *unit = normed.const_data_ptr<T>();
    const T* w = w_C.const_data_ptr<T>();
    const float* inverses = inverse.const_data_ptr<float>();
    T* out = d_x_NC.mutable_data_ptr<T>();
    rows_in_parallel(rows, [&](int64_t row) {
        const int64_t start = row * width;
        auto d_normed = [&](int64_t at, auto count) __attribute__((always_inline)) -> Pair {
            const Pair gradient = load(d + start + at, count), weights = load(w + at, count);
            return rounded<T>({gradient.low * weights.low, gradient.high * weights.high});
        };
        Pair products{Wide(0.f), Wide(0.f)};
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gradient = d_normed(at, count), value = load(unit + start + at, count);
            products = {products.low + gradient.low * value.low, products.high + gradient.high * value.high};
        });
        const Wide share(sum(products) / static_cast<float>(width)), scale(inverses[row]);
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gradient = d_normed(at, count), value = load(unit + start + at, count);
            store(
                out + start + at,
                {(gradient.low - value.low * share) * scale, (gradient.high - value.high * share) * scale},
                count);
        });
    });
    return d_x_NC;
}

template <typename T>
inline Wide sigmoid(const Wide& value) { return Wide(1.f) / (Wide(1.f) + exponential<T>(value.neg())); }

// silu(gate) * up of (N, 2 C): (N, C).
template <typename T>
Tensor swiglu(const Tensor& gate_up) {
    const Tensor both = gate_up.contiguous();
    const int64_t rows = both.size(0), width = both.size(1) / 2;
    Tensor out_NC = at::empty({rows, width}, both.options());
    const T* from = both.const_data_ptr<T>();
    T* out = out_NC.mutable_data_ptr<T>();
    rows_in_parallel(rows, [&](int64_t row) {
        const T *gates = from + row * 2 * width, *ups = gates + width;
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gate = load(gates + at, count), up = load(ups + at, count);
            const Pair active = rounded<T>({gate.low * sigmoid<T>(gate.low), gate.high * sigmoid<T>(gate.high)});
            store(out + row * width + at, {active.low * up.low, active.high * up.high}, count);
        });
    });
    return out_NC;
}

template <typename T>
inline std::pair<Wide, Wide> swiglu_gradients(const Wide& d, const Wide& gate, const Wide& up) {
    const Wide share = sigmoid<T>(gate), active = gate * share;
    return {d * up * share * (Wide(1.f) + gate * (Wide(1.f) - share)), d * active};
}

// d_gate and d_up side by side, (N, 2 C).
template <typename T>
Tensor swiglu_backward(const Tensor& d_out, const Tensor& gate_up) {
    const Tensor d_NC = d_out.contiguous(), both = gate_up.contiguous();
    const int64_t rows = d_NC.size(0), width = d_NC.size(1);
    Tensor d_both = at::empty_like(both);
    const T *d = d_NC.const_data_ptr<T>(), *from = both.const_data_ptr<T>();
    T* to = d_both.mutable_data_ptr<T>();
    rows_in_parallel(rows, [&](int64_t row) {
        const T *gates = from + row * 2 * width, *ups = gates + width;
        T *d_gates = to + row * 2 * width, *d_ups = d_gates + width;
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gradient = load(d + row * width + at, count), gate = load(gates + at, count), up = load(ups + at, count);
            const auto low = swiglu_gradients<T>(gradient.low, gate.low, up.low);
            const auto high = swiglu_gradients<T>(gradient.high, gate.high, up.high);
            store(d_gates + at, {low.first, high.first}, count);
            store(d_ups + at, {low.second, high.second}, count);
        });
    });
    return d_both;
}

// Rotary embeddings of (N, H, D), which may be a part of wider rows; `way` -1 turns back.
template <typename T>
Tensor rotate(const Tensor& given, const Tensor& cos, const Tensor& sin, double way) {
    const Tensor x = given.stride(2) == 1 && given.stride(1) == given.size(2) ? given : given.contiguous();
    const Tensor cos_ND = cos.contiguous(), sin_ND = sin.contiguous();
    const int64_t rows = x.size(0), heads = x.size(1), width = x.size(2), half = width / 2, stride = x.stride(0);
    Tensor y_NHD = at::empty({rows, heads, width}, x.options());
    const T *from = x.const_data_ptr<T>(), *cosines = cos_ND.const_data_ptr<T>();
    const T* sines = sin_ND.const_data_ptr<T>();
    T* to = y_NHD.mutable_data_ptr<T>();
    const Wide sign(static_cast<float>(way));
    rows_in_parallel(rows, [&](int64_t row) {
        for (int64_t head = 0; head < heads; ++head) {
            const T* in = from + row * stride + head * width;
            T* out = to + (row * heads + head) * width;
            along(half, [&](int64_t at, auto count) __attribute__((always_inline)) {
                const Pair left = load(in + at, count), right = load(in + half + at, count);
                const Pair c = load(cosines + row * width + at, count), s = load(sines + row * width + at, count);
                const Pair left_cos = rounded<T>({left.low * c.low, left.high * c.high});
                const Pair right_cos = rounded<T>({right.low * c.low, right.high * c.high});
                store(
                    out + at,
                    {left_cos.low - sign * right.low * s.low, left_cos.high - sign * right.high * s.high},
                    count);
                store(
                    out + half + at,
                    {right_cos.low + sign * left.low * s.low, right_cos.high + sign * left.high * s.high},
                    count);
            });
        }
    });
    return y_NHD;
}

// Puts the gradient of the summed cross-entropy in the place of the logits (M, V), and returns each row's loss in fp32.
template <typename T>
Tensor cross_entropy_(Tensor& logits, const Tensor& targets) {
    TORCH_CHECK(logits.is_contiguous(), "cross_entropy_: logits must be contiguous");
    const int64_t rows = logits.size(0), width = logits.size(1);
    Tensor losses_M = at::empty({rows}, logits.options().dtype(at::kFloat));
    T* data = logits.mutable_data_ptr<T>();
    const int64_t* chosen = targets.const_data_ptr<int64_t>();
    float* losses = losses_M.mutable_data_ptr<float>();
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            T* values = data + row * width;
            const float target = static_cast<float>(values[chosen[row]]);
            const int64_t whole = width / STEP * STEP;
            Pair most{Wide(-std::numeric_limits<float>::infinity()), Wide(-std::numeric_limits<float>::infinity())};
            for (int64_t at = 0; at < whole; at += STEP) {
                const Pair value = load(values + at);
                most = {at::vec::maximum(most.low, value.low), at::vec::maximum(most.high, value.high)};
            }
            float top = whole ? largest(most) : static_cast<float>(values[0]);
            for (int64_t at = whole; at < width; ++at) top = std::max(top, static_cast<float>(values[at]));
            const Wide shift(top);
            Pair sums{Wide(0.f), Wide(0.f)};
            for (int64_t at = 0; at < whole; at += STEP) {
                const Pair value = load(values + at);
                sums = {sums.low + exponential<T>(value.low - shift), sums.high + exponential<T>(value.high - shift)};
            }
            double total = sum(sums);
            for (int64_t at = whole; at < width; ++at) total += std::exp(static_cast<float>(values[at]) - top);
            const float log_total = top + static_cast<float>(std::log(total));
            losses[row] = log_total - target;
            const Wide all(log_total);
            for (int64_t at = 0; at < whole; at += STEP) {
                const Pair value = load(values + at);
                store(values + at, {exponential<T>(value.low - all), exponential<T>(value.high - all)});
            }
            for (int64_t at = whole; at < width; ++at) values[at] = std::exp(static_cast<float>(values[at]) - log_total);
            values[chosen[row]] = std::exp(target - log_total) - 1.f;
        }
    });
    return losses_M;
}

// Softmax of scale * scores (R, Q, T) in place, where query q of each run of `queries` rows looks at keys 0 to known + q.
template <typename T>
void causal_softmax_(Tensor& scores, double scale, int64_t known, int64_t queries) {
    TORCH_CHECK(scores.is_contiguous(), "causal_softmax_: scores must be contiguous");
    const int64_t keys = scores.size(-1), rows = scores.numel() / keys;
    T* data = scores.mutable_data_ptr<T>();
    const Wide factor(static_cast<float>(scale)), nothing(-std::numeric_limits<float>::infinity());
    at::parallel_for(0, rows, GRAIN, [&](int64_t begin, int64_t end) {
        std::vector<float> risen((keys + STEP - 1) / STEP * STEP);
        for (int64_t row = begin; row < end; ++row) {
            T* values = data + row * keys;
            const int64_t seen = known + row % queries + 1;
            // What a short load fills up with counts as not seen, and what it rises to is 0.
            Pair most{nothing, nothing};
            along(seen, [&](int64_t at, auto count) __attribute__((always_inline)) {
                const Pair value = load(values + at, count);
                const Pair kept{Wide::set(nothing, value.low, count), Wide::set(nothing, value.high, std::max<int64_t>(0, count - HALF))};
                kept.low.store(risen.data() + at);
                kept.high.store(risen.data() + at + HALF);
                most = {at::vec::maximum(most.low, kept.low), at::vec::maximum(most.high, kept.high)};
            });
            const Wide shift(largest(most) * static_cast<float>(scale));
            Pair sums{Wide(0.f), Wide(0.f)};
            for (int64_t at = 0; at < seen; at += STEP) {
                float* buffer = risen.data() + at;
                const Wide low = exponential<T>(Wide::loadu(buffer) * factor - shift);
                const Wide high = exponential<T>(Wide::loadu(buffer + HALF) * factor - shift);
                low.store(buffer);
                high.store(buffer + HALF);
                sums = {sums.low + low, sums.high + high};
            }
            const Wide share(1.f / sum(sums));
            along(seen, [&](int64_t at, auto count) __attribute__((always_inline)) {
                const float* buffer = risen.data() + at;
                store(values + at, {Wide::loadu(buffer) * share, Wide::loadu(buffer + HALF) * share}, count);
            });
            std::fill(values + seen, values + keys, T(0.f));
        }
    });
}

constexpr int64_t TILE = 6;  // rows of a tile: with two vectors of columns, as many sums as there are registers for
constexpr int64_t LANES = 16;

// sums (ROWS, VECTORS * 16) = the tile's rows (ROWS, depth) times the columns from `right` on (depth, VECTORS * 16).
template <int ROWS, int VECTORS>
inline __attribute__((always_inline)) void tile_product(
    const float* left, int64_t left_stride, const float* right, int64_t right_stride, int64_t depth, __m512 (&sums)[ROWS][VECTORS]) {
    for (auto& row : sums)
        for (auto& value : row) value = _mm512_setzero_ps();
    for (int64_t at = 0; at < depth; ++at) {
        __m512 columns[VECTORS];
        for (int vector = 0; vector < VECTORS; ++vector) columns[vector] = _mm512_loadu_ps(right + at * right_stride + vector * LANES);
        for (int row = 0; row < ROWS; ++row) {
            const __m512 value = _mm512_set1_ps(left[row * left_stride + at]);
            for (int vector = 0; vector < VECTORS; ++vector) sums[row][vector] = _mm512_fmadd_ps(value, columns[vector], sums[row][vector]);
        }
    }
}

struct LowRank {
    const float *inner, *outer;
    int64_t depth, rank, width;  // channels in, columns of `inner`, columns of `outer`
    const std::vector<int64_t>& blocks;
};

template <int ROWS, int VECTORS>
inline void narrow_columns(const LowRank& pair, const float* x, float* narrow, int64_t column) {
    __m512 sums[ROWS][VECTORS];
    tile_product<ROWS, VECTORS>(x, pair.depth, pair.inner + column, pair.rank, pair.depth, sums);
    for (int row = 0; row < ROWS; ++row)
        for (int vector = 0; vector < VECTORS; ++vector)
            _mm512_storeu_ps(narrow + row * pair.rank + column + vector * LANES, sums[row][vector]);
}

template <typename T, int ROWS>
void add_tile(const LowRank& pair, const T* x, int64_t x_stride, T* y, int64_t y_stride, float* wide, float* narrow) {
    for (int row = 0; row < ROWS; ++row)
        along(pair.depth, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair value = load(x + row * x_stride + at, count);
            float* to = wide + row * pair.depth + at;
            value.low.store(to, std::min<int64_t>(count, HALF));
            if (count > HALF) value.high.store(to + HALF, count - HALF);
        });
    int64_t column = 0;
    for (; column + 2 * LANES <= pair.rank; column += 2 * LANES) narrow_columns<ROWS, 2>(pair, wide, narrow, column);
    if (column < pair.rank) narrow_columns<ROWS, 1>(pair, wide, narrow, column);
    for (size_t block = 0; block < pair.blocks.size(); block += 4) {
        const int64_t first = pair.blocks[block], ranks = pair.blocks[block + 1];
        const int64_t start = pair.blocks[block + 2], end = start + pair.blocks[block + 3];
        const float* outer = pair.outer + first * pair.width;
        int64_t at = start;
        for (; at + STEP <= end; at += STEP) {
            __m512 sums[ROWS][2];
            tile_product<ROWS, 2>(narrow + first, pair.rank, outer + at, pair.width, ranks, sums);
            for (int row = 0; row < ROWS; ++row) {
                T* to = y + row * y_stride + at;
                const Pair before = load(to);
                store(to, {before.low + Wide(sums[row][0]), before.high + Wide(sums[row][1])});
            }
        }
        for (; at < end; ++at)
            for (int row = 0; row < ROWS; ++row) {
                float added = 0.f;
                for (int64_t rank = 0; rank < ranks; ++rank) added += narrow[row * pair.rank + first + rank] * outer[rank * pair.width + at];
                T& to = y[row * y_stride + at];
                to = static_cast<float>(to) + added;
            }
    }
}

// y (N, O) += (x inner) outer with an adapter in fp32, rounded once. `inner` (C, R) has a multiple of 16 columns; of `outer` (R, O)
// only the blocks count: first rank, ranks, first column, columns of each.
template <typename T>
void add_low_rank_(Tensor& y, const Tensor& x, const Tensor& inner, const Tensor& outer, at::IntArrayRef blocks) {
    TORCH_CHECK(y.stride(1) == 1 && x.stride(1) == 1 && inner.is_contiguous() && outer.is_contiguous(), "add_low_rank_: rows must be whole");
    TORCH_CHECK(inner.scalar_type() == at::kFloat && outer.scalar_type() == at::kFloat, "add_low_rank_: the adapter must be fp32");
    TORCH_CHECK(inner.size(1) % LANES == 0 && inner.size(0) == x.size(1), "add_low_rank_: the adapter does not fit");
    const std::vector<int64_t> spans(blocks.begin(), blocks.end());
    const LowRank pair{inner.const_data_ptr<float>(), outer.const_data_ptr<float>(), inner.size(0), inner.size(1), outer.size(1), spans};
    const T* from = x.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    const int64_t rows = x.size(0), from_stride = x.stride(0), to_stride = y.stride(0), tiles = (rows + TILE - 1) / TILE;
    at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
        std::vector<float> wide(TILE * pair.depth), narrow(TILE * pair.rank);
        int64_t row = begin * TILE;
        const int64_t last = std::min(rows, end * TILE);
        const auto add = [&](auto count) {
            add_tile<T, count.value>(pair, from + row * from_stride, from_stride, to + row * to_stride, to_stride, wide.data(), narrow.data());
            row += count.value;
        };
        while (row + TILE <= last) add(std::integral_constant<int, TILE>());
        while (row + 2 <= last) add(std::integral_constant<int, 2>());
        if (row < last) add(std::integral_constant<int, 1>());
    });
}

constexpr int64_t QUERIES = 4;  // that look at a key while it is loaded

template <typename T>
struct Looking {
    const T* query;
    T* out;
    int64_t keys;  // that it looks at
};

// Numbers of type T in registers, to be multiplied with others.
template <typename T, int PARTS>
struct Loaded {
    __m512 low[PARTS], high[PARTS];

    inline __attribute__((always_inline)) void read(const T* from) {
        for (int part = 0; part < PARTS; ++part) {
            const Pair value = load(from + part * STEP);
            low[part] = value.low, high[part] = value.high;
        }
    }

    inline __attribute__((always_inline)) float times(const Loaded& other) const {
        __m512 product = _mm512_setzero_ps();
        for (int part = 0; part < PARTS; ++part)
            product = _mm512_fmadd_ps(high[part], other.high[part], _mm512_fmadd_ps(low[part], other.low[part], product));
        return _mm512_reduce_add_ps(product);
    }
};

#ifdef __AVX512BF16__
template <int PARTS>
struct Loaded<BFloat16, PARTS> {
    __m512bh parts[PARTS];

    inline __attribute__((always_inline)) void read(const BFloat16* from) {
        for (int part = 0; part < PARTS; ++part) parts[part] = (__m512bh)_mm512_loadu_si512(from + part * STEP);
    }

    inline __attribute__((always_inline)) float times(const Loaded& other) const {
        __m512 product = _mm512_setzero_ps();
        for (int part = 0; part < PARTS; ++part) product = _mm512_dpbf16_ps(product, parts[part], other.parts[part]);
        return _mm512_reduce_add_ps(product);
    }
};
#endif

// Attention of some queries of one key head, of PARTS * 32 channels: keys and values stand one after the other.
template <typename T, int PARTS>
void attend_some(const Looking<T>* looking, int64_t count, const T* k, const T* v, float scale, float* scores, int64_t room) {
    constexpr int64_t WIDTH = PARTS * STEP;
    Loaded<T, PARTS> queries[QUERIES], row;
    int64_t most = 0;
    for (int64_t index = 0; index < count; ++index) {
        most = std::max(most, looking[index].keys);
        queries[index].read(looking[index].query);
    }
    for (int64_t key = 0; key < most; ++key) {
        row.read(k + key * WIDTH);
        for (int64_t index = 0; index < count; ++index) scores[index * room + key] = row.times(queries[index]) * scale;
    }
    float shares[QUERIES];
    for (int64_t index = 0; index < count; ++index) {
        float* own = scores + index * room;
        std::fill(own + looking[index].keys, own + room, -std::numeric_limits<float>::infinity());
        Wide top(own[0]);
        for (int64_t at = 0; at < most; at += HALF) top = at::vec::maximum(top, Wide::loadu(own + at));
        const Wide shift(at::vec::vec_reduce_all<float>([](Wide a, Wide b) { return at::vec::maximum(a, b); }, top));
        Wide total(0.f);
        for (int64_t at = 0; at < most; at += HALF) {
            const Wide risen = exponential<T>(Wide::loadu(own + at) - shift);
            risen.store(own + at);
            total = total + risen;
        }
        shares[index] = 1.f / at::vec::vec_reduce_all<float>([](Wide a, Wide b) { return a + b; }, total);
    }
    for (int64_t index = 0; index < count; ++index) {
        __m512 sums[2 * PARTS];
        for (auto& value : sums) value = _mm512_setzero_ps();
        const float* own = scores + index * room;
        for (int64_t key = 0; key < looking[index].keys; ++key) {
            const __m512 weight = _mm512_set1_ps(own[key]);
            for (int part = 0; part < PARTS; ++part) {
                const Pair value = load(v + key * WIDTH + part * STEP);
                sums[2 * part] = _mm512_fmadd_ps(weight, value.low, sums[2 * part]);
                sums[2 * part + 1] = _mm512_fmadd_ps(weight, value.high, sums[2 * part + 1]);
            }
        }
        const Wide share(shares[index]);
        for (int part = 0; part < PARTS; ++part)
            store(looking[index].out + part * STEP, {Wide(sums[2 * part]) * share, Wide(sums[2 * part + 1]) * share});
    }
}

// Attention of tokens over a cache: token n, at `positions[n]`, looks at the keys of slot `slots[n]` up to its own. Tokens of a slot
// that follow one another share what is loaded. q (N, H, D), k and v (S, G, L, D) -> (N, H * D), with D of 64 or 128.
template <typename T>
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& slots, const Tensor& positions, double scale) {
    const int64_t tokens = q.size(0), heads = q.size(1), width = q.size(2), groups = k.size(1), length = k.size(2);
    const int64_t share = heads / groups, stride = q.stride(0);
    TORCH_CHECK(width == 64 || width == 128, "attend: heads must have 64 or 128 channels");
    TORCH_CHECK(q.stride(2) == 1 && q.stride(1) == width, "attend: heads must stand one after the other");
    TORCH_CHECK(k.is_contiguous() && v.is_contiguous(), "attend: keys and values must be contiguous");
    Tensor out_NO = at::empty({tokens, heads * width}, q.options());
    const T *queries = q.const_data_ptr<T>(), *keys = k.const_data_ptr<T>(), *values = v.const_data_ptr<T>();
    T* out = out_NO.mutable_data_ptr<T>();
    const int64_t *slot = slots.const_data_ptr<int64_t>(), *position = positions.const_data_ptr<int64_t>();
    std::vector<int64_t> begins;
    for (int64_t token = 0; token < tokens; ++token)
        if (token == 0 || slot[token] != slot[token - 1]) begins.push_back(token);
    const int64_t runs = begins.size();
    begins.push_back(tokens);
    at::parallel_for(0, runs * groups, 1, [&](int64_t first, int64_t last) {
        const int64_t room = (length + HALF - 1) / HALF * HALF;
        std::vector<float> scores(QUERIES * room);
        Looking<T> looking[QUERIES];
        for (int64_t item = first; item < last; ++item) {
            const int64_t run = item / groups, group = item % groups, place = (slot[begins[run]] * groups + group) * length * width;
            const int64_t all = (begins[run + 1] - begins[run]) * share;
            for (int64_t start = 0; start < all; start += QUERIES) {
                const int64_t count = std::min(QUERIES, all - start);
                for (int64_t index = 0; index < count; ++index) {
                    const int64_t token = begins[run] + (start + index) / share, head = group * share + (start + index) % share;
                    looking[index] = {
                        queries + token * stride + head * width, out + (token * heads + head) * width, position[token] + 1};
                }
                const auto some = width == 64 ? attend_some<T, 2> : attend_some<T, 4>;
                some(looking, count, keys + place, values + place, static_cast<float>(scale), scores.data(), room);
            }
        }
    });
    return out_NO;
}

}  // namespace

TORCH_LIBRARY(mixwright, library) {
    library.def("rms_norm(Tensor x, Tensor weight, float epsilon) -> (Tensor, Tensor, Tensor)");
    library.def("rms_norm_backward(Tensor d_y, Tensor normed, Tensor weight, Tensor inverse) -> Tensor");
    library.def("swiglu(Tensor gate_up) -> Tensor");
    library.def("swiglu_backward(Tensor d_out, Tensor gate_up) -> Tensor");
    library.def("rotate(Tensor x, Tensor cos, Tensor sin, float way) -> Tensor");
    library.def("cross_entropy_(Tensor(a!) logits, Tensor targets) -> Tensor");
    library.def("add_low_rank_(Tensor(a!) y, Tensor x, Tensor inner, Tensor outer, int[] blocks) -> ()");
    library.def("attend(Tensor q, Tensor k, Tensor v, Tensor slots, Tensor positions, float scale) -> Tensor");
    library.def("causal_softmax_(Tensor(a!) scores, float scale, int known, int queries) -> ()");
}

TORCH_LIBRARY_IMPL(mixwright, CPU, library) {
    library.impl("rms_norm", Either<rms_norm<BFloat16>, rms_norm<float>>::call);
    library.impl("rms_norm_backward", Either<rms_norm_backward<BFloat16>, rms_norm_backward<float>>::call);
    library.impl("swiglu", Either<swiglu<BFloat16>, swiglu<float>>::call);
    library.impl("swiglu_backward", Either<swiglu_backward<BFloat16>, swiglu_backward<float>>::call);
    library.impl("rotate", Either<rotate<BFloat16>, rotate<float>>::call);
    library.impl("cross_entropy_", Either<cross_entropy_<BFloat16>, cross_entropy_<float>>::call);
    library.impl("add_low_rank_", Either<add_low_rank_<BFloat16>, add_low_rank_<float>>::call);
    library.impl("attend", Either<attend<BFloat16>, attend<float>>::call);
    library.impl("causal_softmax_", Either<causal_softmax_<BFloat16>, causal_softmax_<float>>::call);
}
