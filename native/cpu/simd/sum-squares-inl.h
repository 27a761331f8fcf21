// The sum of squares of an f32 array, for every Highway target. Included by kernel files after simd-inl.h.
#if defined(APOLLO_CPU_SUM_SQUARES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_SUM_SQUARES_INL_H_
#undef APOLLO_CPU_SUM_SQUARES_INL_H_
#else
#define APOLLO_CPU_SUM_SQUARES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// In f64 (squares of large gradients overflow f32); four chains hide the latency of the additions.
HWY_INLINE double sum_of_squares_of(const float* x, std::size_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> dh;
  const std::size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    const auto a = hn::PromoteTo(d, hn::LoadU(dh, x + i));
    const auto b = hn::PromoteTo(d, hn::LoadU(dh, x + i + lanes));
    const auto c = hn::PromoteTo(d, hn::LoadU(dh, x + i + 2 * lanes));
    const auto e = hn::PromoteTo(d, hn::LoadU(dh, x + i + 3 * lanes));
    s0 = hn::MulAdd(a, a, s0);
    s1 = hn::MulAdd(b, b, s1);
    s2 = hn::MulAdd(c, c, s2);
    s3 = hn::MulAdd(e, e, s3);
  }
  double sum = sum_lanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // APOLLO_CPU_SUM_SQUARES_INL_H_
