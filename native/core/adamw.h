// The scalars of an AdamW update (Loshchilov & Hutter, arXiv 1711.05101), as every backend's kernel takes them.
#pragma once

namespace apollo {

// Factors of one tensor's update.
struct AdamwFactors {
  float gradient;                // gradScale * clip
  float decay;                   // 1 - lr * weightDecay, or 1
  float beta1, one_minus_beta1;  // m = beta1 m + (1 - beta1) g
  float beta2, one_minus_beta2;  // v = beta2 v + (1 - beta2) g^2
  float rate;                    // lr / (1 - beta1^k)
  float inverse_correction;      // 1 / (1 - beta2^k)
  float epsilon;
};

}  // namespace apollo
