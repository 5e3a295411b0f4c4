// Vectors of the machine's own width, and the two activations on them.
//
// Owns how wide a vector is and how it is loaded, stored and activated. Knows nothing of the cell.
#pragma once

#include <cstring>

// As many row sums as the registers hold stay in them: ROWS * 2 vectors, and a few to spare.
#if defined(__AVX512F__)
constexpr int WIDTH = 16, ROWS = 12;
#elif defined(__AVX__) || defined(__aarch64__)
constexpr int WIDTH = 8, ROWS = 6;
#else
constexpr int WIDTH = 4, ROWS = 6;
#endif

using Vector = float __attribute__((vector_size(WIDTH * sizeof(float))));

inline Vector fill(float value) {
    return value - Vector{};
}

// The first `count` elements; the others are zero.
inline Vector load(const float* from, int count) {
    Vector vector{};
    if (count == WIDTH) {
        std::memcpy(&vector, from, sizeof vector);
    } else {
        std::memcpy(&vector, from, count * sizeof(float));
    }
    return vector;
}

inline void store(float* to, Vector vector, int count) {
    if (count == WIDTH) {
        std::memcpy(to, &vector, sizeof vector);
    } else {
        std::memcpy(to, &vector, count * sizeof(float));
    }
}

// tanh as a quotient of an odd and an even polynomial, to 3e-7; the coefficients are those of
// Eigen. Both comparisons are false for NaN, so that NaN passes through.
inline Vector tanh(Vector x) {
    constexpr float LIMIT = 7.90531110763549805f;  // here, float32's tanh is 1
    x = x > LIMIT ? fill(LIMIT) : x;
    x = x < -LIMIT ? fill(-LIMIT) : x;
    const Vector s = x * x;
    Vector odd = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
    odd = odd * s - 8.60467152213735e-11f;
    odd = odd * s + 5.12229709037114e-08f;
    odd = odd * s + 1.48572235717979e-05f;
    odd = odd * s + 6.37261928875436e-04f;
    odd = odd * s + 4.89352455891786e-03f;
    Vector even = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
    even = even * s + 2.26843463243900e-03f;
    even = even * s + 4.89352518554385e-03f;
    return x * odd / even;
}

inline Vector sigmoid(Vector x) {
    return tanh(x * 0.5f) * 0.5f + 0.5f;
}
