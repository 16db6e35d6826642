/*
 * The first and only process of a small Linux that notices whatever happens to its disks. It writes numbered records to
 * slots of each virtio disk, remembers what every slot must hold, and reads slots back past the cache. On the console
 * it says a line ten times a second; V verifies all slots, P pauses the writing, R resumes it, Q switches off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "record.h"

#define DISKS_MAX 4
#define HEARTBEAT_SECONDS 0.1
#define GAP_US 2000
#define FLUSH_EVERY 16

struct disk {
  int fd;
  uint64_t slots;
  uint64_t *numbers; /* of the record in each slot; 0: never written */
};

static struct disk disks[DISKS_MAX];
static int disk_count;
static uint64_t corrupt, io_errors;
static uint64_t *written, *found, *expected;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void prepare_console(void) {
  int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
  struct termios raw;
  if (fd < 0) return;
  for (int number = 0; number < 3; number++) dup2(fd, number);
  if (tcgetattr(0, &raw) == 0) {
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
}

static void load_modules(void) {
  char path[32];
  for (int number = 0;; number++) {
    snprintf(path, sizeof path, "/module-%d.ko", number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (syscall(SYS_finit_module, fd, "", 0) != 0) printf("module %d: errno %d\n", number, errno);
    close(fd);
  }
}

/* Of slots=N on the kernel's command line no more than so many are used of each disk. */
static void open_disks(void) {
  const char *most = getenv("slots");
  for (int tries = 0; tries < 200 && access("/dev/vda", F_OK) != 0; tries++) usleep(50000);
  for (disk_count = 0; disk_count < DISKS_MAX; disk_count++) {
    struct disk *disk = &disks[disk_count];
    char path[16];
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "/dev/vd%c", 'a' + disk_count);
    disk->fd = open(path, O_RDWR | O_DIRECT);
    if (disk->fd < 0) return;
    ioctl(disk->fd, BLKGETSIZE64, &bytes);
    disk->slots = bytes / SLOT_BYTES;
    if (most && strtoull(most, NULL, 10) < disk->slots) disk->slots = strtoull(most, NULL, 10);
    disk->numbers = calloc(disk->slots, sizeof *disk->numbers);
  }
}

static int is_right(int index, uint64_t slot) {
  struct disk *disk = &disks[index];
  uint64_t number = disk->numbers[slot];
  if (pread(disk->fd, found, SLOT_BYTES, slot * SLOT_BYTES) != SLOT_BYTES) {
    io_errors++;
    return 0;
  }
  memset(expected, 0, SLOT_BYTES);
  if (number != 0) make_record(expected, number, index, slot);
  if (memcmp(found, expected, SLOT_BYTES) == 0) return 1;
  corrupt++;
  printf("CORRUPT disk=%d slot=%llu expected=%llu found=%llu\n", index, (unsigned long long)slot,
         (unsigned long long)number, (unsigned long long)found[1]);
  return 0;
}

static void write_record(uint64_t number, int index) {
  struct disk *disk = &disks[index];
  uint64_t slot = mixed(number * DISKS_MAX + index) % disk->slots;
  make_record(written, number, index, slot);
  if (pwrite(disk->fd, written, SLOT_BYTES, slot * SLOT_BYTES) == SLOT_BYTES) disk->numbers[slot] = number;
  else io_errors++;
  if (number % FLUSH_EVERY == 0) fdatasync(disk->fd);
  /* One that was written some time, and now and then any. */
  uint64_t chance = mixed(number ^ 0x5bd1e995 ^ index);
  is_right(index, mixed((1 + chance % number) * DISKS_MAX + index) % disk->slots);
  if (number % 8 == 0) is_right(index, chance % disk->slots);
}

static void verify(uint64_t number) {
  for (int index = 0; index < disk_count; index++) {
    struct disk *disk = &disks[index];
    uint64_t wrong = 0, used = 0, digest = 0;
    fdatasync(disk->fd);
    for (uint64_t slot = 0; slot < disk->slots; slot++) {
      wrong += !is_right(index, slot);
      if (disk->numbers[slot] == 0) continue;
      used++;
      digest += slot_digest(slot, disk->numbers[slot]);
    }
    printf("VERIFIED disk=%d wrong=%llu used=%llu seq=%llu digest=%016llx of=%d\n", index, (unsigned long long)wrong,
           (unsigned long long)used, (unsigned long long)number, (unsigned long long)digest, disk_count);
  }
}

static void flush_all(void) {
  for (int index = 0; index < disk_count; index++) fdatasync(disks[index].fd);
}

int main(void) {
  mkdir("/dev", 0755);
  mount("dev", "/dev", "devtmpfs", 0, "");
  prepare_console();
  load_modules();
  open_disks();
  written = aligned_alloc(SLOT_BYTES, SLOT_BYTES);
  found = aligned_alloc(SLOT_BYTES, SLOT_BYTES);
  expected = aligned_alloc(SLOT_BYTES, SLOT_BYTES);

  /* It tells this start from any other one. */
  uint64_t boot = 0, number = 0;
  int random = open("/dev/urandom", O_RDONLY);
  if (read(random, &boot, sizeof boot) != sizeof boot) printf("no random numbers\n");
  printf("READY disks=%d boot=%016llx\n", disk_count, (unsigned long long)boot);

  int writing = 1;
  for (double told = 0;;) {
    if (writing) {
      number++;
      for (int index = 0; index < disk_count; index++) write_record(number, index);
    }
    if (seconds() - told >= HEARTBEAT_SECONDS) {
      told = seconds();
      printf("HB seq=%llu corrupt=%llu errors=%llu boot=%016llx\n", (unsigned long long)number,
             (unsigned long long)corrupt, (unsigned long long)io_errors, (unsigned long long)boot);
    }
    struct pollfd console = {.fd = 0, .events = POLLIN};
    char command = 0;
    if (poll(&console, 1, writing ? 0 : 20) > 0 && read(0, &command, 1) == 1) {
      if (command == 'V') verify(number);
      if (command == 'R') writing = 1;
      if (command == 'P') {
        writing = 0;
        flush_all();
        printf("PAUSED seq=%llu\n", (unsigned long long)number);
      }
      if (command == 'Q') {
        flush_all();
        reboot(RB_POWER_OFF);
      }
    }
    if (writing) usleep(GAP_US);
  }
}
