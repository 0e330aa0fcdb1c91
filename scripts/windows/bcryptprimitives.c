// What: a library that Wine 8 lacks and that vitest needs under it: random bytes for the standard library of Rust.
// Flow: test_windows.mjs -> this -> bcryptprimitives.dll in the Wine prefix.
// Thread: any.
#include <windows.h>
BOOLEAN WINAPI SystemFunction036(PVOID, ULONG); /* advapi32 RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) {
  while (n) { ULONG k = n > 0x10000000 ? 0x10000000 : (ULONG)n; if (!SystemFunction036(p, k)) return FALSE; p += k; n -= k; }
  return TRUE;
}
