// What the random programs may call, once for the device and once for the host. Host forms are exact: integers, the
// floating-point environment's rounding modes, or arithmetic in a type so wide that one rounding remains.
#include <cmath>
#include <cstdint>
#include <cstdio>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef int8_t s8; typedef int16_t s16; typedef int32_t s32; typedef int64_t s64;

#ifdef __CUDACC__
#define BOTH __host__ __device__ static inline
#define PICK(device, host) device
#else
#include <cfenv>
#include <cstring>
#include <limits>
#define BOTH static inline
#define PICK(device, host) host

template <class T, class F> static __attribute__((noinline)) T at(int mode, F compute) {
  fesetround(mode);
  volatile T result = compute();
  fesetround(FE_TONEAREST);
  return result;
}
template <class T> static T clamped(double x) {
  if (x <= (double)std::numeric_limits<T>::min()) return std::numeric_limits<T>::min();
  if (x >= (double)std::numeric_limits<T>::max()) return std::numeric_limits<T>::max();
  return (T)x;
}
static u64 reversed(u64 x, int bits) { u64 r = 0; for (int i = 0; i < bits; i++) r |= (x >> i & 1) << (bits - 1 - i); return r; }
static u32 permuted(u32 a, u32 b, u32 s) {
  u64 pool = (u64)b << 32 | a; u32 r = 0;
  for (int i = 0; i < 4; i++) r |= (u32)(pool >> 8 * (s >> 4 * i & 7) & 255) << 8 * i;
  return r;
}
static s32 dotted(u32 a, u32 b, s32 c, bool sign) {
  u32 r = (u32)c;
  for (int i = 0; i < 4; i++) r += sign ? (u32)((s8)(a >> 8 * i) * (s8)(b >> 8 * i)) : (u8)(a >> 8 * i) * (u8)(b >> 8 * i);
  return (s32)r;
}
static u16 half_bits(float x) { _Float16 h = (_Float16)x; u16 r; memcpy(&r, &h, 2); return r; }
static float half_value(u16 x) { _Float16 h; memcpy(&h, &x, 2); return (float)h; }
static u16 brain_bits(float x) { u32 b; memcpy(&b, &x, 4); return (u16)((b + 0x7fff + (b >> 16 & 1)) >> 16); }
#endif

BOTH u32 bits_of(float x) { union { float f; u32 u; } v; v.f = x; return x != x ? 0x7fffffffu : v.u; }
BOTH u64 bits_of(double x) { union { double f; u64 u; } v; v.f = x; return x != x ? 0x7fffffffffffffffull : v.u; }
BOTH float single_of(u32 x) { union { float f; u32 u; } v; v.u = x; return v.f; }
BOTH u64 mix(u64 h, u64 v) { h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2); return h; }
BOTH float tame(float x) { return x == x && fabsf(x) < 1e30f ? x : 1.25f; }
BOTH double tame(double x) { return x == x && fabs(x) < 1e200 ? x : 1.25; }

// -- bits and integers
BOTH u32 count(u32 x) { return PICK(__popc(x), (u32)__builtin_popcount(x)); }
BOTH u32 count(u64 x) { return PICK(__popcll(x), (u32)__builtin_popcountll(x)); }
BOTH u32 leading(u32 x) { return PICK(__clz(x), x ? (u32)__builtin_clz(x) : 32u); }
BOTH u32 leading(u64 x) { return PICK(__clzll(x), x ? (u32)__builtin_clzll(x) : 64u); }
BOTH u32 first_set(u32 x) { return PICK(__ffs(x), (u32)__builtin_ffs(x)); }
BOTH u32 reverse(u32 x) { return PICK(__brev(x), (u32)reversed(x, 32)); }
BOTH u64 reverse(u64 x) { return PICK(__brevll(x), reversed(x, 64)); }
BOTH u32 permute(u32 a, u32 b, u32 s) { return PICK(__byte_perm(a, b, s), permuted(a, b, s)); }
BOTH u32 funnel_left(u32 a, u32 b, u32 n) { return PICK(__funnelshift_l(a, b, n), (u32)((((u64)b << 32 | a) << (n & 31)) >> 32)); }
BOTH u32 funnel_right(u32 a, u32 b, u32 n) { return PICK(__funnelshift_rc(a, b, n), (u32)(((u64)b << 32 | a) >> (n > 32 ? 32 : n))); }
BOTH s32 dot(s32 a, s32 b, s32 c) { return PICK(__dp4a(a, b, c), dotted((u32)a, (u32)b, c, true)); }
BOTH u32 dot(u32 a, u32 b, u32 c) { return PICK(__dp4a(a, b, c), (u32)dotted(a, b, (s32)c, false)); }
BOTH s32 high(s32 a, s32 b) { return PICK(__mulhi(a, b), (s32)((s64)a * b >> 32)); }
BOTH u32 high(u32 a, u32 b) { return PICK(__umulhi(a, b), (u32)((u64)a * b >> 32)); }
BOTH s64 high(s64 a, s64 b) { return PICK(__mul64hi(a, b), (s64)((__int128)a * b >> 64)); }
BOTH u64 high(u64 a, u64 b) { return PICK(__umul64hi(a, b), (u64)((unsigned __int128)a * b >> 64)); }
BOTH s32 small_product(s32 a, s32 b) {
  s32 r;
  PICK(asm("mul24.lo.s32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)), r = (s32)((s64)((s32)((u32)a << 8) >> 8) * ((s32)((u32)b << 8) >> 8)));
  return r;
}
BOTH u32 distance(s32 a, s32 b, u32 c) { return PICK(__sad(a, b, c), (u32)(a < b ? (s64)b - a : (s64)a - b) + c); }
BOTH u32 distance(u32 a, u32 b, u32 c) { return PICK(__usad(a, b, c), (a < b ? b - a : a - b) + c); }
BOTH s32 average(s32 a, s32 b) { return PICK(__hadd(a, b), (s32)(((s64)a + b) >> 1)); }
BOTH u32 average_up(u32 a, u32 b) { return PICK(__urhadd(a, b), (u32)(((u64)a + b + 1) >> 1)); }
BOTH u32 shift_left(u32 x, u32 n) { u32 r; PICK(asm("shl.b32 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(n)), r = n > 31 ? 0 : x << n); return r; }
BOTH s32 shift_right(s32 x, u32 n) { s32 r; PICK(asm("shr.s32 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(n)), r = x >> (n > 31 ? 31 : n)); return r; }
BOTH u64 shift_right(u64 x, u32 n) { u64 r; PICK(asm("shr.u64 %0, %1, %2;" : "=l"(r) : "l"(x), "r"(n)), r = n > 63 ? 0 : x >> n); return r; }
BOTH u32 field(u32 x, u32 p, u32 n) {
  p &= 31; n &= 31; u32 r;
  PICK(asm("bfe.u32 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(p), "r"(n)), r = x >> p & ((1u << n) - 1));
  return r;
}
BOTH s32 field(s32 x, u32 p, u32 n) {
  p &= 15; n = (n & 15) + 1; s32 r;
  PICK(asm("bfe.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(p), "r"(n)), r = (s32)((u32)x << (32 - p - n)) >> (32 - n));
  return r;
}
BOTH u32 insert(u32 x, u32 y, u32 p, u32 n) {
  p &= 31; n &= 31; u32 r;
  PICK(asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(r) : "r"(x), "r"(y), "r"(p), "r"(n)),
       u32 ones = ((1u << n) - 1) << p; r = (y & ~ones) | (x << p & ones));
  return r;
}
#define LOGIC_HOST(a, b, c) ((~a & ~b & ~c) | (~a & b & ~c) | (~a & b & c) | (a & ~b & c))
BOTH u32 logic(u32 a, u32 b, u32 c) {
  u32 r;
  PICK(asm("lop3.b32 %0, %1, %2, %3, 0x2d;" : "=r"(r) : "r"(a), "r"(b), "r"(c)), r = LOGIC_HOST(a, b, c));
  return r;
}

// -- arithmetic in every rounding mode
#define DIRECTED(T, P, FMA, ROOT, SUFFIX, MODE)                                                                               \
  BOTH T add_##SUFFIX(T a, T b) { return PICK(__##P##add_##SUFFIX(a, b), at<T>(MODE, [=] { volatile T x = a; volatile T y = b; return T(x + y); })); } \
  BOTH T mul_##SUFFIX(T a, T b) { return PICK(__##P##mul_##SUFFIX(a, b), at<T>(MODE, [=] { volatile T x = a; volatile T y = b; return T(x * y); })); } \
  BOTH T div_##SUFFIX(T a, T b) { return PICK(__##P##div_##SUFFIX(a, b), at<T>(MODE, [=] { volatile T x = a; volatile T y = b; return T(x / y); })); } \
  BOTH T root_##SUFFIX(T a) { return PICK(__##P##sqrt_##SUFFIX(a), at<T>(MODE, [=] { volatile T x = a; return ROOT(x); })); } \
  BOTH T fma_##SUFFIX(T a, T b, T c) { return PICK(FMA##_##SUFFIX(a, b, c), at<T>(MODE, [=] { volatile T x = a; volatile T y = b; volatile T z = c; return fused(x, y, z); })); }
#ifndef __CUDACC__
static float fused(float a, float b, float c) { return fmaf(a, b, c); }
static double fused(double a, double b, double c) { return fma(a, b, c); }
#endif
#define EVERY_MODE(FAMILY) FAMILY(rn, FE_TONEAREST) FAMILY(rz, FE_TOWARDZERO) FAMILY(rd, FE_DOWNWARD) FAMILY(ru, FE_UPWARD)
#define BOTH_WIDTHS(SUFFIX, MODE) DIRECTED(float, f, __fmaf, sqrtf, SUFFIX, MODE) DIRECTED(double, d, __fma, sqrt, SUFFIX, MODE)
EVERY_MODE(BOTH_WIDTHS)

// C leaves open which of two zeros fmin gives; PTX does not
BOTH float least(float a, float b) { return PICK(fminf(a, b), a == b ? (std::signbit(a) ? a : b) : fminf(a, b)); }
BOTH float most(float a, float b) { return PICK(fmaxf(a, b), a == b ? (std::signbit(a) ? b : a) : fmaxf(a, b)); }
BOTH double least(double a, double b) { return PICK(fmin(a, b), a == b ? (std::signbit(a) ? a : b) : fmin(a, b)); }
BOTH double most(double a, double b) { return PICK(fmax(a, b), a == b ? (std::signbit(a) ? b : a) : fmax(a, b)); }

// -- conversions
#define TO_INTEGER(SUFFIX, ROUND)                                                                      \
  BOTH s32 s32_##SUFFIX(float x) { return PICK(__float2int_##SUFFIX(x), clamped<s32>(ROUND((double)x))); }   \
  BOTH u32 u32_##SUFFIX(float x) { return PICK(__float2uint_##SUFFIX(x), clamped<u32>(ROUND((double)x))); }  \
  BOTH s64 s64_##SUFFIX(float x) { return PICK(__float2ll_##SUFFIX(x), clamped<s64>(ROUND((double)x))); }    \
  BOTH u64 u64_##SUFFIX(float x) { return PICK(__float2ull_##SUFFIX(x), clamped<u64>(ROUND((double)x))); }   \
  BOTH s32 s32_##SUFFIX(double x) { return PICK(__double2int_##SUFFIX(x), clamped<s32>(ROUND(x))); }         \
  BOTH u32 u32_##SUFFIX(double x) { return PICK(__double2uint_##SUFFIX(x), clamped<u32>(ROUND(x))); }        \
  BOTH s64 s64_##SUFFIX(double x) { return PICK(__double2ll_##SUFFIX(x), clamped<s64>(ROUND(x))); }          \
  BOTH u64 u64_##SUFFIX(double x) { return PICK(__double2ull_##SUFFIX(x), clamped<u64>(ROUND(x))); }
TO_INTEGER(rn, rint) TO_INTEGER(rz, trunc) TO_INTEGER(rd, floor) TO_INTEGER(ru, ceil)
#define FROM_INTEGER(SUFFIX, MODE)                                                                                            \
  BOTH float float_##SUFFIX(s32 x) { return PICK(__int2float_##SUFFIX(x), at<float>(MODE, [=] { volatile s32 y = x; return (float)y; })); } \
  BOTH float float_##SUFFIX(u32 x) { return PICK(__uint2float_##SUFFIX(x), at<float>(MODE, [=] { volatile u32 y = x; return (float)y; })); } \
  BOTH float float_##SUFFIX(s64 x) { return PICK(__ll2float_##SUFFIX(x), at<float>(MODE, [=] { volatile s64 y = x; return (float)y; })); } \
  BOTH float float_##SUFFIX(u64 x) { return PICK(__ull2float_##SUFFIX(x), at<float>(MODE, [=] { volatile u64 y = x; return (float)y; })); } \
  BOTH float float_##SUFFIX(double x) { return PICK(__double2float_##SUFFIX(x), at<float>(MODE, [=] { volatile double y = x; return (float)y; })); } \
  BOTH double double_##SUFFIX(s64 x) { return PICK(__ll2double_##SUFFIX(x), at<double>(MODE, [=] { volatile s64 y = x; return (double)y; })); } \
  BOTH double double_##SUFFIX(u64 x) { return PICK(__ull2double_##SUFFIX(x), at<double>(MODE, [=] { volatile u64 y = x; return (double)y; })); }
EVERY_MODE(FROM_INTEGER)
BOTH u16 to_half(float x) { u16 r; PICK(asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x)), r = half_bits(x)); return r; }
BOTH float from_half(u16 x) { float r; PICK(asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x)), r = half_value(x)); return tame(r); }
BOTH u16 to_brain(float x) { u16 r; PICK(asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x)), r = brain_bits(x)); return r; }
BOTH float from_brain(u16 x) { return tame(single_of((u32)x << 16)); }
BOTH u16 half_sum(u16 a, u16 b) {
  u16 r, x = to_half(from_half(a)), y = to_half(from_half(b));
  PICK(asm("add.rn.f16 %0, %1, %2;" : "=h"(r) : "h"(x), "h"(y)), r = half_bits(half_value(x) + half_value(y)));
  return r;
}
BOTH u16 half_product(u16 a, u16 b) {
  u16 r, x = to_half(from_half(a)), y = to_half(from_half(b));
  PICK(asm("mul.rn.f16 %0, %1, %2;" : "=h"(r) : "h"(x), "h"(y)), r = half_bits(half_value(x) * half_value(y)));
  return r;
}
