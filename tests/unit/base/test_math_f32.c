/* The runtime's float functions against libm in double. Strided over all floats by default;
 * "all" as argument visits every one (a quarter of an hour on one core). The last such run, worst
 * ulp: exp 0.990, tanh 1.330, sigmoid 1.967, expm1 3.325, softplus 2.811, erf 2.580, sqrt 0.5. */
#include "base/math_f32.h"
#include "check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Distance in units of the last place of the exact result rounded to float. */
static double ulps(float got, double want)
{
    if (isnan(want)) return isnan(got) ? 0 : 1e9;
    const float w = (float)want;
    if (isinf(w)) return got == w ? 0 : 1e9;
    int e = 0;
    (void)frexp(want, &e);
    if (e < -125) e = -125; // subnormals share one spacing
    return fabs((double)got - want) / ldexp(1, e - 24);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static const struct {
    const char *name;
    float (*f)(float);
    double (*exact)(double);
    double limit;
} functions[] = {
    {"exp", deft_exp_f32, exp, 2},
    {"tanh", deft_tanh_f32, tanh, 2},
    {"sigmoid", deft_sigmoid_f32, sigmoid, 2},
    {"expm1", deft_expm1_f32, expm1, 4},
    {"softplus", deft_softplus_f32, softplus, 4},
    {"erf", deft_erf_f32, erf, 4},
    {"sqrt", deft_sqrt_f32, sqrt, 0.5000001},
};

int main(int argc, char **argv)
{
    const uint64_t step = argc > 1 && strcmp(argv[1], "all") == 0 ? 1 : 997;
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        double worst = 0;
        float at = 0;
        for (uint64_t u = 0; u <= UINT32_MAX; u += step) {
            const float x = from_bits((uint32_t)u);
            if (k == 6 && (x < 0 || (u >> 31))) continue; // sqrt of negatives: 0 by definition
            const double d = ulps(functions[k].f(x), functions[k].exact((double)x));
            if (d > worst) {
                worst = d;
                at = x;
            }
        }
        printf("%-8s worst %.3f ulp at %a\n", functions[k].name, worst, (double)at);
        CHECK(worst <= functions[k].limit, "%s: %.3f ulp at %a", functions[k].name, worst,
              (double)at);
    }
    return check_report();
}
