// The loops over steps of the gated recurrent unit, forward and backward, on the CPU.
//
// Owns the order of the work: a block of rows at a time through all steps, so that what a step needs
// of the step before, and the weights, stay in the cache. Knows nothing of torch.
//
// Arrays are float32 in C order; T steps, B rows, I inputs, H hidden. Gates stand in the order
// z, r, c.

#include <cstdint>

#include "product.h"

namespace {

constexpr int BLOCK = 4 * ROWS;

// What a step is to a row, as bits; 0 where it is neither.
enum Mode : uint8_t { STARTS = 1, PADDED = 2 };

extern "C" struct Sequences {
    int steps, rows, inputs, hidden, reset_after, threads;
    const uint8_t* modes;           // (T, B), or null
    const float* values;            // what the layer reads, (T, B, I)
    const float* input_weight;      // (3 H, I)
    const float* bias;              // (3 H,), or null
    const float* gate_weight;       // (2 H, H)
    const float* candidate_weight;  // (H, H)
    const float* candidate_bias;    // (H,), or null
    // The gates; after the backward pass, what flows back to before their activation: (T, B, 3 H)
    float* gates;
    float* states;  // before the first step, and after each: (T + 1, B, H)
    // Before: r h. After: h U_c^T + d_c; after the backward pass, what flows back to it. (T, B, H)
    float* products;
    const float* states_gradient;  // (T, B, H)
    float* carried;  // what flows back to the state before, at the end to the first, (B, H)
};

// weight (outputs, inputs) as the right-hand side of x weight^T.
Packed pack_transposed(const float* weight, int outputs, int inputs) {
    Packed packed(inputs, outputs);
    for (int o = 0; o < outputs; ++o) {
        for (int i = 0; i < inputs; ++i) packed.at(i, o) = weight[static_cast<size_t>(o) * inputs + i];
    }
    return packed;
}

// A matrix (inner, columns) as the right-hand side of a product; its rows lie `stride` floats apart.
Packed pack(const float* matrix, int inner, int columns, int stride) {
    Packed packed(inner, columns);
    for (int column = 0; column < columns; column += PANEL) {
        const int count = std::min(PANEL, columns - column);
        for (int k = 0; k < inner; ++k) {
            const float* from = matrix + static_cast<size_t>(k) * stride + column;
            std::copy(from, from + count, &packed.at(k, column));
        }
    }
    return packed;
}

// Some rows of all sequences, and where their arrays lie at a step.
struct Block {
    const Sequences& all;
    int first, count;

    size_t row(int step, int i) const { return static_cast<size_t>(step) * all.rows + first + i; }
    Rows values(int step) const { return {all.values + row(step, 0) * all.inputs, all.inputs}; }
    float* gates(int step, int i) const { return all.gates + row(step, i) * 3 * all.hidden; }
    float* state(int step, int i) const { return all.states + row(step, i) * all.hidden; }
    float* products(int step, int i) const { return all.products + row(step, i) * all.hidden; }
    float* carried(int i) const { return all.carried + row(0, i) * all.hidden; }
    bool is(Mode mode, int step, int i) const { return all.modes && all.modes[row(step, i)] & mode; }
    bool any(Mode mode, int step) const {
        bool found = false;
        for (int i = 0; all.modes && i < count; ++i) found |= is(mode, step, i);
        return found;
    }
};

// The states before a step: those after the step before, but zero in rows that start.
class Previous {
  public:
    explicit Previous(const Block& block)
        : block_(block), copy_(static_cast<size_t>(block.count) * block.all.hidden) {}

    Rows at(int step) {
        const int hidden = block_.all.hidden;
        if (!block_.any(STARTS, step)) return {block_.state(step, 0), hidden};
        for (int i = 0; i < block_.count; ++i) {
            float* to = &copy_[static_cast<size_t>(i) * hidden];
            const float* from = block_.state(step, i);
            if (block_.is(STARTS, step, i)) {
                std::fill(to, to + hidden, 0.0f);
            } else {
                std::copy(from, from + hidden, to);
            }
        }
        return {copy_.data(), hidden};
    }

  private:
    const Block& block_;
    std::vector<float> copy_;
};

struct ForwardWeights {
    Packed inputs, update, reset, candidate;

    explicit ForwardWeights(const Sequences& s)
        : inputs(pack_transposed(s.input_weight, 3 * s.hidden, s.inputs)),
          update(pack_transposed(s.gate_weight, s.hidden, s.hidden)),
          reset(pack_transposed(s.gate_weight + static_cast<size_t>(s.hidden) * s.hidden, s.hidden,
                                s.hidden)),
          candidate(pack_transposed(s.candidate_weight, s.hidden, s.hidden)) {}
};

// x W^T + b, where the gates will be.
void project(const Block& block, int t, const Packed& weight) {
    const float* bias = block.all.bias;
    const auto start = [&](int, int j, int n) { return bias ? load(bias + j, n) : Vector{}; };
    multiply(block.values(t), weight, block.count, start, [&](int i, int j, int n, Vector sum) {
        store(block.gates(t, i) + j, sum, n);
    });
}

void forward_block(const Block& block, const ForwardWeights& weights) {
    const int hidden = block.all.hidden;
    const bool after = block.all.reset_after;
    Previous previous(block);
    for (int t = 0; t < block.all.steps; ++t) {
        const Rows h = previous.at(t);
        project(block, t, weights.inputs);
        const auto projected = [&](int gate) {
            return [&block, t, offset = gate * hidden](int i, int j, int n) {
                return load(block.gates(t, i) + offset + j, n);
            };
        };
        multiply(h, weights.update, block.count, projected(0), [&](int i, int j, int n, Vector a) {
            store(block.gates(t, i) + j, sigmoid(a), n);
        });
        multiply(h, weights.reset, block.count, projected(1), [&](int i, int j, int n, Vector a) {
            const Vector r = sigmoid(a);
            store(block.gates(t, i) + hidden + j, r, n);
            if (!after) {
                store(block.products(t, i) + j, r * load(h.first + i * hidden + j, n), n);
            }
        });
        const auto finish = [&](int i, int j, int n, Vector a) {
            float* gates = block.gates(t, i) + j;
            const Vector c = tanh(a), z = load(gates, n), before = load(h.first + i * hidden + j, n);
            store(gates + 2 * hidden, c, n);
            store(block.state(t + 1, i) + j, c + z * (before - c), n);
        };
        if (after) {
            const float* bias = block.all.candidate_bias;
            const auto start = [&](int, int j, int n) { return bias ? load(bias + j, n) : Vector{}; };
            multiply(h, weights.candidate, block.count, start, [&](int i, int j, int n, Vector q) {
                store(block.products(t, i) + j, q, n);
                const Vector r = load(block.gates(t, i) + hidden + j, n);
                finish(i, j, n, projected(2)(i, j, n) + r * q);
            });
        } else {
            const Rows rh{block.products(t, 0), hidden};
            multiply(rh, weights.candidate, block.count, projected(2), finish);
        }
        for (int i = 0; block.all.modes && i < block.count; ++i) {
            const float* before = h.first + i * hidden;
            if (block.is(PADDED, t, i)) std::copy(before, before + hidden, block.state(t + 1, i));
        }
    }
}

struct BackwardWeights {
    Packed gates, candidate;

    explicit BackwardWeights(const Sequences& s)
        : gates(pack(s.gate_weight, 2 * s.hidden, s.hidden, s.hidden)),
          candidate(pack(s.candidate_weight, s.hidden, s.hidden, s.hidden)) {}
};

// What flows back to z and c before their activation, and, in rows that aren't padded, past the
// cell; `gates` holds z, r, c on entry. In the reset-after form the candidate's product as well.
void backward_gates(const Block& block, int t, Rows h) {
    const int hidden = block.all.hidden;
    for_each(block.count, hidden, [&](int i, int j, int n) {
        float* gates = block.gates(t, i) + j;
        float* carried = block.carried(i) + j;
        const float* gradient = block.all.states_gradient + block.row(t, i) * hidden + j;
        const Vector dh = load(carried, n) + load(gradient, n);
        const bool padded = block.is(PADDED, t, i);
        const Vector z = load(gates, n), r = load(gates + hidden, n), c = load(gates + 2 * hidden, n);
        const Vector before = load(h.first + i * hidden + j, n);
        const Vector keep = padded ? Vector{} : dh;
        const Vector da_c = keep * (1.0f - z) * (1.0f - c * c);
        store(carried, padded ? dh : dh * z, n);
        store(gates, keep * (before - c) * z * (1.0f - z), n);
        store(gates + 2 * hidden, da_c, n);
        if (block.all.reset_after) {
            float* products = block.products(t, i) + j;
            store(gates + hidden, da_c * load(products, n) * r * (1.0f - r), n);
            store(products, da_c * r, n);
        }
    });
}

void backward_block(const Block& block, const BackwardWeights& weights) {
    const int hidden = block.all.hidden;
    Previous previous(block);
    for (int t = block.all.steps - 1; t >= 0; --t) {
        const Rows h = previous.at(t);
        backward_gates(block, t, h);
        const auto carried = [&](int i, int j, int n) { return load(block.carried(i) + j, n); };
        const auto carry = [&](int i, int j, int n, Vector sum) {
            store(block.carried(i) + j, sum, n);
        };
        if (block.all.reset_after) {
            const Rows dq{block.products(t, 0), hidden};
            multiply(dq, weights.candidate, block.count, carried, carry);
        } else {
            const auto zero = [](int, int, int) { return Vector{}; };
            const Rows da_c{block.gates(t, 0) + 2 * hidden, 3 * hidden};
            multiply(da_c, weights.candidate, block.count, zero, [&](int i, int j, int n, Vector drh) {
                float* reset = block.gates(t, i) + hidden + j;
                const Vector r = load(reset, n), before = load(h.first + i * hidden + j, n);
                store(reset, drh * before * r * (1.0f - r), n);
                carry(i, j, n, carried(i, j, n) + drh * r);
            });
        }
        multiply({block.gates(t, 0), 3 * hidden}, weights.gates, block.count, carried, carry);
        for (int i = 0; block.all.modes && i < block.count; ++i) {
            float* row = block.carried(i);
            if (block.is(STARTS, t, i)) std::fill(row, row + hidden, 0.0f);
        }
    }
}

// `run(first, end)` for blocks of at most `longest` of `count` rows, as many to each thread. A thread
// takes a block through all its work: threads never wait for each other.
template <class Run>
void run_blocks(int count, int longest, int threads, const Run& run) {
    threads = std::min(threads, count);
    // As many rounds as the longest block asks for, each with a block for every thread.
    const int64_t blocks = static_cast<int64_t>((count - 1) / (longest * threads) + 1) * threads;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t b = 0; b < blocks; ++b) {
        const int first = count * b / blocks, end = count * (b + 1) / blocks;
        if (first < end) run(first, end);
    }
}

// The sum over many rows of the outer products of two matrices: a^T b.
extern "C" struct OuterProducts {
    int rows, left, right, left_stride, right_stride, threads;
    const float* a;  // (rows, left)
    const float* b;  // (rows, right)
    float* sum;      // (left, right)
};

// Rows that are taken at once, so that a panel of them fits the first cache, and columns of `a`, so
// that they fit the second beside `b`.
constexpr int DEPTH = 256, COLUMNS = 16 * ROWS;

// Columns `first` to `end` of `a` in groups of ROWS, each group in the order that it is read in.
void pack_groups(const OuterProducts& all, int row, int depth, int first, int end, float* to) {
    for (int column = first; column < end; column += ROWS) {
        const int count = std::min(ROWS, end - column);
        for (int k = 0; k < depth; ++k, to += ROWS) {
            const float* from = all.a + static_cast<size_t>(row + k) * all.left_stride + column;
            std::copy(from, from + count, to);
        }
    }
}

void sum_columns(const OuterProducts& all, int row, const Packed& b, int first, int end) {
    thread_local std::vector<float> groups(DEPTH * COLUMNS);
    pack_groups(all, row, b.inner, first, end, groups.data());
    for (int column = first; column < end; column += ROWS) {
        const float* group = &groups[static_cast<size_t>(column - first) * b.inner];
        const auto at = [&](int i, int j) {
            return all.sum + static_cast<size_t>(column + i) * all.right + j;
        };
        multiply(
            {group, 1, ROWS}, b, std::min(ROWS, end - column),
            [&](int i, int j, int n) { return row ? load(at(i, j), n) : Vector{}; },
            [&](int i, int j, int n, Vector sum) { store(at(i, j), sum, n); });
    }
}

}  // namespace

extern "C" void gru_outer_products(const OuterProducts* all) {
    for (int row = 0; row < all->rows; row += DEPTH) {
        const int depth = std::min(DEPTH, all->rows - row);
        const float* from = all->b + static_cast<size_t>(row) * all->right_stride;
        const Packed b = pack(from, depth, all->right, all->right_stride);
        run_blocks(all->left, COLUMNS, all->threads,
                   [&](int first, int end) { sum_columns(*all, row, b, first, end); });
    }
}

extern "C" void gru_forward(const Sequences* sequences) {
    const ForwardWeights weights(*sequences);
    run_blocks(sequences->rows, BLOCK, sequences->threads, [&](int first, int end) {
        forward_block({*sequences, first, end - first}, weights);
    });
}

extern "C" void gru_backward(const Sequences* sequences) {
    const BackwardWeights weights(*sequences);
    run_blocks(sequences->rows, BLOCK, sequences->threads, [&](int first, int end) {
        backward_block({*sequences, first, end - first}, weights);
    });
}
