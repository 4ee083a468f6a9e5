/* float_rules.h - what compilers are told about floats: each operation rounds by itself, in the
 * order in which it is written. Included first by every file of the freestanding runtime that
 * computes with floats; emitted C begins with the lines below the guard. What the preprocessor
 * cannot see (clang's -ffp-contract=fast, a processor set to flush small numbers to zero) the
 * self-tests notice. */
#ifndef DEFT_BASE_FLOAT_RULES_H
#define DEFT_BASE_FLOAT_RULES_H

#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "-ffast-math (/fp:fast) changes what the policy computes: leave it out for this file"
#elif defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0
#error "-ffinite-math-only changes what the policy computes: leave it out for this file"
#elif defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "-funsafe-math-optimizations and its parts change what the policy computes: leave them out"
#endif
#if defined(__clang__)
#if __clang_major__ >= 12
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-pragmas"
#pragma float_control(precise, on)
#pragma clang diagnostic pop
#pragma clang fp reassociate(off)
#endif
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#else
#pragma STDC FP_CONTRACT OFF
#endif

#endif
