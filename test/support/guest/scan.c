/* Looks at a raw disk from outside: every slot must be empty or hold a whole record of that disk and that slot. */
#include <stdio.h>
#include <stdlib.h>
#include "record.h"

int main(int count, char **arguments) {
  if (count != 3) return 2;
  FILE *raw = fopen(arguments[1], "rb");
  uint64_t disk = strtoull(arguments[2], NULL, 10);
  static uint64_t found[WORDS], expected[WORDS], zeroes[WORDS];
  uint64_t used = 0, wrong = 0, last = 0, digest = 0;
  if (!raw) return 2;
  for (uint64_t slot = 0; fread(found, 1, SLOT_BYTES, raw) == SLOT_BYTES; slot++) {
    if (memcmp(found, zeroes, SLOT_BYTES) == 0) continue;
    make_record(expected, found[1], disk, slot);
    if (memcmp(found, expected, SLOT_BYTES) != 0) {
      wrong++;
      continue;
    }
    used++;
    if (found[1] > last) last = found[1];
    digest += slot_digest(slot, found[1]);
  }
  printf("wrong=%llu used=%llu seq=%llu digest=%016llx\n", (unsigned long long)wrong, (unsigned long long)used,
         (unsigned long long)last, (unsigned long long)digest);
  return 0;
}
