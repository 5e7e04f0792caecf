// The memory-bound pieces of a LLaMA layer in bf16 on processors, each in one visit to memory; arithmetic within is fp32.
//
// What comes in: what the autograd functions of kernels.py and attention.py hold. What goes out: what torch's own operators would
// give in several visits each. native.py compiles and finds this file; without it everything runs on torch's operators.
//
// Legend: as in kernels.py and attention.py.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
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

inline __attribute__((always_inline)) Pair rounded(const Pair& value) {
    auto [low, high] = at::vec::convert_bfloat16_float(narrowed(value));
    return {low, high};
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

template <typename Work>
inline void rows_in_parallel(int64_t rows, const Work& work) {
    at::parallel_for(0, rows, GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) work(row);
    });
}

// y = normed * weight with normed = x / rms(x) in bf16: (y, normed, 1 / rms).
std::tuple<Tensor, Tensor, Tensor> rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
    const Tensor x_NC = x.contiguous(), w_C = weight.contiguous();
    const int64_t rows = x_NC.size(0), width = x_NC.size(1);
    Tensor y_NC = at::empty_like(x_NC), normed_NC = at::empty_like(x_NC);
    Tensor inverse_N1 = at::empty({rows, 1}, x_NC.options().dtype(at::kFloat));
    const BFloat16 *from = x_NC.const_data_ptr<BFloat16>(), *w = w_C.const_data_ptr<BFloat16>();
    BFloat16 *y = y_NC.mutable_data_ptr<BFloat16>(), *normed = normed_NC.mutable_data_ptr<BFloat16>();
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
            const Pair unit = rounded({value.low * scale, value.high * scale});
            store(normed + start + at, unit, count);
            store(y + start + at, {unit.low * weights.low, unit.high * weights.high}, count);
        });
    });
    return {y_NC, normed_NC, inverse_N1};
}

// d_x of rms_norm; the weight is frozen.
Tensor rms_norm_backward(const Tensor& d_y, const Tensor& normed, const Tensor& weight, const Tensor& inverse) {
    const Tensor d_y_NC = d_y.contiguous(), w_C = weight.contiguous();
    const int64_t rows = d_y_NC.size(0), width = d_y_NC.size(1);
    Tensor d_x_NC = at::empty_like(d_y_NC);
    const BFloat16 *d = d_y_NC.const_data_ptr<BFloat16>(), *unit = normed.const_data_ptr<BFloat16>();
    const BFloat16* w = w_C.const_data_ptr<BFloat16>();
    const float* inverses = inverse.const_data_ptr<float>();
    BFloat16* out = d_x_NC.mutable_data_ptr<BFloat16>();
    rows_in_parallel(rows, [&](int64_t row) {
        const int64_t start = row * width;
        auto d_normed = [&](int64_t at, auto count) __attribute__((always_inline)) -> Pair {
            const Pair gradient = load(d + start + at, count), weights = load(w + at, count);
            return rounded({gradient.low * weights.low, gradient.high * weights.high});
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

inline Wide sigmoid(const Wide& value) { return Wide(1.f) / (Wide(1.f) + value.neg().exp_u20()); }

// silu(gate) * up of (N, 2 C): (N, C).
Tensor swiglu(const Tensor& gate_up) {
    const Tensor both = gate_up.contiguous();
    const int64_t rows = both.size(0), width = both.size(1) / 2;
    Tensor out_NC = at::empty({rows, width}, both.options());
    const BFloat16* from = both.const_data_ptr<BFloat16>();
    BFloat16* out = out_NC.mutable_data_ptr<BFloat16>();
    rows_in_parallel(rows, [&](int64_t row) {
        const BFloat16 *gates = from + row * 2 * width, *ups = gates + width;
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gate = load(gates + at, count), up = load(ups + at, count);
            const Pair active = rounded({gate.low * sigmoid(gate.low), gate.high * sigmoid(gate.high)});
            store(out + row * width + at, {active.low * up.low, active.high * up.high}, count);
        });
    });
    return out_NC;
}

inline std::pair<Wide, Wide> swiglu_gradients(const Wide& d, const Wide& gate, const Wide& up) {
    const Wide share = sigmoid(gate), active = gate * share;
    return {d * up * share * (Wide(1.f) + gate * (Wide(1.f) - share)), d * active};
}

// d_gate and d_up side by side, (N, 2 C).
Tensor swiglu_backward(const Tensor& d_out, const Tensor& gate_up) {
    const Tensor d_NC = d_out.contiguous(), both = gate_up.contiguous();
    const int64_t rows = d_NC.size(0), width = d_NC.size(1);
    Tensor d_both = at::empty_like(both);
    const BFloat16 *d = d_NC.const_data_ptr<BFloat16>(), *from = both.const_data_ptr<BFloat16>();
    BFloat16* to = d_both.mutable_data_ptr<BFloat16>();
    rows_in_parallel(rows, [&](int64_t row) {
        const BFloat16 *gates = from + row * 2 * width, *ups = gates + width;
        BFloat16 *d_gates = to + row * 2 * width, *d_ups = d_gates + width;
        along(width, [&](int64_t at, auto count) __attribute__((always_inline)) {
            const Pair gradient = load(d + row * width + at, count), gate = load(gates + at, count), up = load(ups + at, count);
            const auto low = swiglu_gradients(gradient.low, gate.low, up.low);
            const auto high = swiglu_gradients(gradient.high, gate.high, up.high);
            store(d_gates + at, {low.first, high.first}, count);
            store(d_ups + at, {low.second, high.second}, count);
        });
    });
    return d_both;
}

// Rotary embeddings of (N, H, D), which may be a part of wider rows; `way` -1 turns back.
Tensor rotate(const Tensor& given, const Tensor& cos, const Tensor& sin, double way) {
    const Tensor x = given.stride(2) == 1 && given.stride(1) == given.size(2) ? given : given.contiguous();
    const Tensor cos_ND = cos.contiguous(), sin_ND = sin.contiguous();
    const int64_t rows = x.size(0), heads = x.size(1), width = x.size(2), half = width / 2, stride = x.stride(0);
    Tensor y_NHD = at::empty({rows, heads, width}, x.options());
    const BFloat16 *from = x.const_data_ptr<BFloat16>(), *cosines = cos_ND.const_data_ptr<BFloat16>();
    const BFloat16* sines = sin_ND.const_data_ptr<BFloat16>();
    BFloat16* to = y_NHD.mutable_data_ptr<BFloat16>();
    const Wide sign(static_cast<float>(way));
    rows_in_parallel(rows, [&](int64_t row) {
        for (int64_t head = 0; head < heads; ++head) {
            const BFloat16* in = from + row * stride + head * width;
            BFloat16* out = to + (row * heads + head) * width;
            along(half, [&](int64_t at, auto count) __attribute__((always_inline)) {
                const Pair left = load(in + at, count), right = load(in + half + at, count);
                const Pair c = load(cosines + row * width + at, count), s = load(sines + row * width + at, count);
                const Pair left_cos = rounded({left.low * c.low, left.high * c.high});
                const Pair right_cos = rounded({right.low * c.low, right.high * c.high});
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
Tensor cross_entropy_(Tensor& logits, const Tensor& targets) {
    TORCH_CHECK(logits.is_contiguous(), "cross_entropy_: logits must be contiguous");
    const int64_t rows = logits.size(0), width = logits.size(1);
    Tensor losses_M = at::empty({rows}, logits.options().dtype(at::kFloat));
    BFloat16* data = logits.mutable_data_ptr<BFloat16>();
    const int64_t* chosen = targets.const_data_ptr<int64_t>();
    float* losses = losses_M.mutable_data_ptr<float>();
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            BFloat16* values = data + row * width;
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
                sums = {sums.low + (value.low - shift).exp_u20(), sums.high + (value.high - shift).exp_u20()};
            }
            double total = sum(sums);
            for (int64_t at = whole; at < width; ++at) total += std::exp(static_cast<float>(values[at]) - top);
            const float log_total = top + static_cast<float>(std::log(total));
            losses[row] = log_total - target;
            const Wide all(log_total);
            for (int64_t at = 0; at < whole; at += STEP) {
                const Pair value = load(values + at);
                store(values + at, {(value.low - all).exp_u20(), (value.high - all).exp_u20()});
            }
            for (int64_t at = whole; at < width; ++at) values[at] = std::exp(static_cast<float>(values[at]) - log_total);
            values[chosen[row]] = std::exp(target - log_total) - 1.f;
        }
    });
    return losses_M;
}

// Softmax of scale * scores (R, Q, T) in place, where query q of each run of `queries` rows looks at keys 0 to known + q.
void causal_softmax_(Tensor& scores, double scale, int64_t known, int64_t queries) {
    TORCH_CHECK(scores.is_contiguous(), "causal_softmax_: scores must be contiguous");
    const int64_t keys = scores.size(-1), rows = scores.numel() / keys;
    BFloat16* data = scores.mutable_data_ptr<BFloat16>();
    const Wide factor(static_cast<float>(scale)), nothing(-std::numeric_limits<float>::infinity());
    at::parallel_for(0, rows, GRAIN, [&](int64_t begin, int64_t end) {
        std::vector<float> risen((keys + STEP - 1) / STEP * STEP);
        for (int64_t row = begin; row < end; ++row) {
            BFloat16* values = data + row * keys;
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
                const Wide low = (Wide::loadu(buffer) * factor - shift).exp_u20();
                const Wide high = (Wide::loadu(buffer + HALF) * factor - shift).exp_u20();
                low.store(buffer);
                high.store(buffer + HALF);
                sums = {sums.low + low, sums.high + high};
            }
            const Wide share(1.f / sum(sums));
            along(seen, [&](int64_t at, auto count) __attribute__((always_inline)) {
                const float* buffer = risen.data() + at;
                store(values + at, {Wide::loadu(buffer) * share, Wide::loadu(buffer + HALF) * share}, count);
            });
            std::fill(values + seen, values + keys, BFloat16(0.f));
        }
    });
}

}  // namespace

TORCH_LIBRARY(mixwright, library) {
    library.def("rms_norm(Tensor x, Tensor weight, float epsilon) -> (Tensor, Tensor, Tensor)");
    library.def("rms_norm_backward(Tensor d_y, Tensor normed, Tensor weight, Tensor inverse) -> Tensor");
    library.def("swiglu(Tensor gate_up) -> Tensor");
    library.def("swiglu_backward(Tensor d_out, Tensor gate_up) -> Tensor");
    library.def("rotate(Tensor x, Tensor cos, Tensor sin, float way) -> Tensor");
    library.def("cross_entropy_(Tensor(a!) logits, Tensor targets) -> Tensor");
    library.def("causal_softmax_(Tensor(a!) scores, float scale, int known, int queries) -> ()");
}

TORCH_LIBRARY_IMPL(mixwright, CPU, library) {
    library.impl("rms_norm", rms_norm);
    library.impl("rms_norm_backward", rms_norm_backward);
    library.impl("swiglu", swiglu);
    library.impl("swiglu_backward", swiglu_backward);
    library.impl("rotate", rotate);
    library.impl("cross_entropy_", cross_entropy_);
    library.impl("causal_softmax_", causal_softmax_);
}
