// Included before every source of a package (CMake's APOLLO_PACKAGE), which must load where libstdc++ is that of
// GCC 11.
#pragma once

#if defined(__GLIBC__) || defined(__linux__)
#define APOLLO_CONDITION_WAIT "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE"
__asm__(".symver " APOLLO_CONDITION_WAIT "," APOLLO_CONDITION_WAIT "@GLIBCXX_3.4.11");
#undef APOLLO_CONDITION_WAIT
#endif
