// The product of a few rows with a packed matrix, with whatever is to be done to each tile of it.
//
// Owns the order in which a product is formed: for every element, over the inner dimension from
// first to last, so that a row's bits do not depend on the rows beside it. Knows nothing of gates.
#pragma once

#include <algorithm>
#include <vector>

#include "vectors.h"

constexpr int PANEL = 2 * WIDTH;

// A matrix (inner, columns) in panels of PANEL columns, each panel in the order that it is read in;
// the last one is filled up with zeros.
class Packed {
  public:
    Packed(int inner, int columns) : inner(inner), columns(columns) {
        panels_.resize(static_cast<size_t>((columns + PANEL - 1) / PANEL) * inner * PANEL);
    }

    float& at(int k, int column) {
        return panels_[(static_cast<size_t>(column / PANEL) * inner + k) * PANEL + column % PANEL];
    }

    const float* panel(int column) const {
        return &panels_[static_cast<size_t>(column / PANEL) * inner * PANEL];
    }

    const int inner, columns;

  private:
    std::vector<float> panels_;
};

// A matrix whose rows lie `stride` floats apart, and the elements of a row `step` floats.
struct Rows {
    const float* first;
    int stride;
    int step = 1;
};

// COUNT rows times one panel. `start(row, column, count)` gives a vector to add to;
// `finish(row, column, count, sum)` takes the sum.
template <int COUNT, class Start, class Finish>
inline void multiply_tile(Rows a, const Packed& b, int row, int column, const Start& start,
                          const Finish& finish) {
    const int left = std::min(WIDTH, b.columns - column);
    const int right = std::clamp(b.columns - column - WIDTH, 0, WIDTH);
    // Every loop over them is unrolled: sums that are indexed would live in memory.
    Vector sums[COUNT][2];
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; ++i) {
        sums[i][0] = start(row + i, column, left);
        sums[i][1] = right ? start(row + i, column + WIDTH, right) : Vector{};
    }
    const float* panel = b.panel(column);
    const float* values = a.first + static_cast<size_t>(row) * a.stride;
    for (int k = 0; k < b.inner; ++k, panel += PANEL, values += a.step) {
        const Vector low = load(panel, WIDTH), high = load(panel + WIDTH, WIDTH);
#pragma GCC unroll 12
        for (int i = 0; i < COUNT; ++i) {
            const float value = values[static_cast<size_t>(i) * a.stride];
            sums[i][0] += value * low;
            sums[i][1] += value * high;
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; ++i) {
        finish(row + i, column, left, sums[i][0]);
        if (right) finish(row + i, column + WIDTH, right, sums[i][1]);
    }
}

template <int COUNT, class Start, class Finish>
inline int multiply_rows(Rows a, const Packed& b, int row, int rows, int column,
                         const Start& start, const Finish& finish) {
    for (; row + COUNT <= rows; row += COUNT) {
        multiply_tile<COUNT>(a, b, row, column, start, finish);
    }
    return row;
}

// All rows times all panels; a panel stays in the first cache while the rows pass by.
template <class Start, class Finish>
inline void multiply(Rows a, const Packed& b, int rows, const Start& start, const Finish& finish) {
    for (int column = 0; column < b.columns; column += PANEL) {
        int row = multiply_rows<ROWS>(a, b, 0, rows, column, start, finish);
        row = multiply_rows<4>(a, b, row, rows, column, start, finish);
        multiply_rows<1>(a, b, row, rows, column, start, finish);
    }
}

// An element-wise pass over (rows, columns): `visit(row, column, count)` for every vector.
template <class Visit>
inline void for_each(int rows, int columns, const Visit& visit) {
    for (int row = 0; row < rows; ++row) {
        int column = 0;
        for (; column + WIDTH <= columns; column += WIDTH) visit(row, column, WIDTH);
        if (column < columns) visit(row, column, columns - column);
    }
}
