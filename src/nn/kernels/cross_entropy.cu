// Softmax cross entropy with class weights and label smoothing; a thread for each example.
#include "common.cuh"

__device__ inline float log_sum_exp(const float *row, u32 n_classes) {
    float largest = -INFINITY, sum = 0.0f;
    for (u32 c = 0; c < n_classes; c++) largest = fmaxf(largest, row[c]);
    for (u32 c = 0; c < n_classes; c++) sum += expf(row[c] - largest);
    return largest + logf(sum);
}

// How much class `c` is to be predicted for an example of class `label`.
__device__ inline float target(const float *weights, float smoothing, u32 label, u32 c,
                               u32 n_classes) {
    float spread = smoothing / n_classes * (weights != nullptr ? weights[c] : 1.0f);
    if (c != label) return spread;
    return (1.0f - smoothing) * (weights != nullptr ? weights[c] : 1.0f) + spread;
}

// logits (examples, classes), labels, class weights (or none) -> losses.
extern "C" __global__ void cross_entropy_forward(const float *logits, const u32 *labels,
                                                 const float *weights, float smoothing,
                                                 float *losses, u32 n_examples, u32 n_classes) {
    u32 i = thread_number();
    if (i >= n_examples) return;
    const float *row = logits + static_cast<size_t>(i) * n_classes;
    float log_sum = log_sum_exp(row, n_classes), loss = 0.0f;
    for (u32 c = 0; c < n_classes; c++) {
        loss += target(weights, smoothing, labels[i], c, n_classes) * (log_sum - row[c]);
    }
    losses[i] = loss;
}

// The gradient of `scale` times the sum of the losses.
extern "C" __global__ void cross_entropy_backward(const float *logits, const u32 *labels,
                                                  const float *weights, float smoothing,
                                                  float scale, float *gradient, u32 n_examples,
                                                  u32 n_classes) {
    u32 i = thread_number();
    if (i >= n_examples) return;
    const float *row = logits + static_cast<size_t>(i) * n_classes;
    float log_sum = log_sum_exp(row, n_classes), total = 0.0f;
    for (u32 c = 0; c < n_classes; c++) {
        total += target(weights, smoothing, labels[i], c, n_classes);
    }
    for (u32 c = 0; c < n_classes; c++) {
        float wanted = target(weights, smoothing, labels[i], c, n_classes);
        gradient[static_cast<size_t>(i) * n_classes + c] = (expf(row[c] - log_sum) * total - wanted) * scale;
    }
}
