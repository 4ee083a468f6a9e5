# What every target of ours is compiled with. The rounding of every float is part of the
# specification: no contraction, no fast-math, anywhere.
add_library(deft_flags INTERFACE)
target_compile_options(deft_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-prototypes -Wdouble-promotion -Wvla
  -Wcast-qual -Wstrict-prototypes -Werror
  -ffp-contract=off -fno-math-errno -fno-common)
target_compile_definitions(deft_flags INTERFACE _POSIX_C_SOURCE=200809L)
if(DEFT_SANITIZE)
  target_compile_options(deft_flags INTERFACE -fsanitize=address,undefined
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(deft_flags INTERFACE -fsanitize=address,undefined)
endif()
if(DEFT_FUZZ)
  target_compile_options(deft_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
