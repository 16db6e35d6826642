/* A record as the guest writes it and the host finds it: 4 KiB that say which they are and where they belong. */
#include <stdint.h>
#include <string.h>

#define SLOT_BYTES 4096
#define WORDS (SLOT_BYTES / 8)

static const char MAGIC[8] = "NOTICING";

static uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x7fb5d329728ea185ull;
  x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44dull;
  return x ^ (x >> 33);
}

/* Words: magic, number, disk, slot, 507 of noise that follow from these, and a sum over all before it. */
static void make_record(uint64_t *record, uint64_t number, uint64_t disk, uint64_t slot) {
  memcpy(record, MAGIC, sizeof MAGIC);
  record[1] = number;
  record[2] = disk;
  record[3] = slot;
  uint64_t noise = mixed(number * 64 + disk) | 1;
  uint64_t sum = 0;
  for (int word = 4; word < WORDS - 1; word++) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    record[word] = noise;
  }
  for (int word = 0; word < WORDS - 1; word++) sum = mixed(sum ^ record[word]);
  record[WORDS - 1] = sum;
}

/* What a disk's slots hold is summed up so that their order does not matter. */
static uint64_t slot_digest(uint64_t slot, uint64_t number) {
  return mixed(mixed(number) + slot * 0x9e3779b97f4a7c15ull);
}
