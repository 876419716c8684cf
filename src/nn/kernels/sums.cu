// Sums over the rows of matrices, in two steps: each block adds up some rows, and then the blocks'
// sums are added up in their order.
#include "common.cuh"

// Columns and rows that a block of 256 threads works on side by side.
const int COLUMNS = 32;
const int ROWS = 8;

// The sum of `value` over the threads of one column, in the order of the rows; for row 0 alone.
__device__ inline float sum_of_column(float value) {
    __shared__ float values[ROWS][COLUMNS];
    u32 column = threadIdx.x % COLUMNS, row = threadIdx.x / COLUMNS;
    __syncthreads();
    values[row][column] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < ROWS; i++) sum += values[i][column];
    return sum;
}

// x (rows, width) -> sums (chunks, width) of `chunk` rows each. Grid: columns / 32, chunks.
extern "C" __global__ void column_sums(const void *x, u32 x_is_bf16, float *sums, u32 n_rows,
                                       u32 width, u32 chunk) {
    u32 column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS;
    u32 first = blockIdx.y * chunk, end = min(first + chunk, n_rows);
    Values values = {x, x_is_bf16};
    float sum = 0.0f;
    if (column < width) {
        for (u32 row = first + threadIdx.x / COLUMNS; row < end; row += ROWS) {
            sum += values[static_cast<size_t>(row) * width + column];
        }
    }
    sum = sum_of_column(sum);
    if (threadIdx.x < COLUMNS && column < width) {
        sums[static_cast<size_t>(blockIdx.y) * width + column] = sum;
    }
}

// The same for the gradients of a layer norm's weight and bias: the sums of dy x and of dy.
extern "C" __global__ void norm_parameter_sums(const void *dy, u32 dy_is_bf16, const void *x,
                                               u32 x_is_bf16, float *products, float *sums,
                                               u32 n_rows, u32 width, u32 chunk) {
    u32 column = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS;
    u32 first = blockIdx.y * chunk, end = min(first + chunk, n_rows);
    Values gradients = {dy, dy_is_bf16}, values = {x, x_is_bf16};
    float product = 0.0f, sum = 0.0f;
    if (column < width) {
        for (u32 row = first + threadIdx.x / COLUMNS; row < end; row += ROWS) {
            size_t i = static_cast<size_t>(row) * width + column;
            float gradient = gradients[i];
            product += gradient * values[i];
            sum += gradient;
        }
    }
    product = sum_of_column(product);
    sum = sum_of_column(sum);
    if (threadIdx.x < COLUMNS && column < width) {
        size_t i = static_cast<size_t>(blockIdx.y) * width + column;
        products[i] = product;
        sums[i] = sum;
    }
}

// destination (width) += the sum of x (rows, width) over the rows, in their order.
extern "C" __global__ void add_rows_in_order(float *destination, const float *x, u32 n_rows,
                                             u32 width) {
    u32 column = thread_number();
    if (column >= width) return;
    float sum = 0.0f;
    for (u32 row = 0; row < n_rows; row++) sum += x[static_cast<size_t>(row) * width + column];
    destination[column] += sum;
}
